select s.sent as done, s.status from notify.send(%(id)s::bigint, %(wait)s::boolean) as s
