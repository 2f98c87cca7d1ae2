-- The lowest id of a walk over so many deliveries that were not sent, newest first; none where the walk comes to the end.
select d.id
from notify.delivery d
where d.status <> 'sent' and d.id < coalesce(%(before)s::bigint, 9223372036854775807)
order by d.id desc
offset %(rows)s::bigint - 1
limit 1
