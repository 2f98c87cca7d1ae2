select notify.park(%(id)s::bigint, %(reason)s::text)
