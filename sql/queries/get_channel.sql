select c.name, c.description, c.state, c.paused_at, c.rests_until, c.rate, c.retry
from notify.channels c
where c.name = %(channel)s::text
