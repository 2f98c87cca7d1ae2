select notify.register_channels(%(channels)s::jsonb)
