select r.retried as done, r.status
from notify.retry(%(id)s::bigint, make_interval(secs => %(delay_minutes)s::double precision * 60)) as r
