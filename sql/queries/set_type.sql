select notify.set_type(%(type)s::text, %(changes)s::jsonb)::text
