select notify.set_type(%(name)s::text, %(changes)s::jsonb)::text
