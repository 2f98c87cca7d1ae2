select notify.unsubscribe(%(recipient)s::text, %(channel)s::text, %(type)s::text)
