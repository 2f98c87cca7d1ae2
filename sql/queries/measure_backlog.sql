-- One index range a priority, and no more than 10,000 rows in all: this runs for dashboards that poll.
select count(*) as count,
  coalesce(extract(epoch from notify.now() - min(d.due_at)), 0)::double precision as oldest_seconds
from (
  select n.due_at
  from unnest(enum_range(null::notify.priority)) as p (priority)
  cross join lateral (
    select o.due_at from notify.notification o
    where o.status = 'pending' and o.priority = p.priority and o.due_at <= (select notify.now())
    order by o.due_at
    limit 2500
  ) as n
) as d
