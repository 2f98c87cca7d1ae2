-- Up to where a walk over so many pending notifications of each priority gets, the next due first; none where each
-- priority's walk comes to its end.
select w.due_at as at, w.id
from unnest(enum_range(null::notify.priority)) as p (priority)
cross join lateral (
  select o.due_at, o.id from notify.notification o
  where o.status = 'pending' and o.priority = p.priority
    and (o.due_at, o.id) > (coalesce(%(after_due)s::timestamptz, '-infinity'), coalesce(%(after_id)s::bigint, 0))
    and o.due_at < coalesce(%(due_before)s::timestamptz, 'infinity')
  order by o.due_at, o.id
  offset %(rows)s::bigint - 1
  limit 1
) as w
order by w.due_at, w.id
limit 1
