select u.id, u.created from notify.upsert_recipients(%(rows)s::jsonb, %(replace)s::boolean) as u
