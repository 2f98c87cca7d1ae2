select notify.set_channel(%(channel)s::text, %(changes)s::jsonb)
