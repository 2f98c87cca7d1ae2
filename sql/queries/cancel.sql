select c.cancelled as done, c.status from notify.cancel(%(id)s::bigint) as c
