-- The lowest id of a walk over so many notifications, newest first; none where the walk comes to the end.
select n.id
from notify.notification n
where n.id < coalesce(%(before)s::bigint, 9223372036854775807)
order by n.id desc
offset %(rows)s::bigint - 1
limit 1
