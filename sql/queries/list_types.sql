select t.name, t.required, t.paused_at, t.retry
from notify.type t
order by t.name
