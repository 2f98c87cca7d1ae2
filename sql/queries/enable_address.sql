select notify.enable_address(%(recipient)s::text, %(channel)s::text)
