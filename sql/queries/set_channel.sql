select notify.set_channel(%(name)s::text, %(changes)s::jsonb)
