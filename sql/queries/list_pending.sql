-- The next due first: one index range a priority, merged. Ordering all pending rows at once would read every one of them.
-- Not beyond the ceiling: a type may be rare, or nowhere.
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from unnest(enum_range(null::notify.priority)) as p (priority)
cross join lateral (
  select o.* from notify.notification o
  where o.status = 'pending' and o.priority = p.priority
    and (o.due_at, o.id) > (coalesce(%(after_due)s::timestamptz, '-infinity'), coalesce(%(after_id)s::bigint, 0))
    and (o.due_at, o.id)
      <= (coalesce(%(ceiling_due)s::timestamptz, 'infinity'), coalesce(%(ceiling_id)s::bigint, 9223372036854775807))
    and o.due_at < coalesce(%(due_before)s::timestamptz, 'infinity')
    and (%(type)s::text is null or (select c.type from notify.batch c where c.id = o.batch_id) = %(type)s::text)
  order by o.due_at, o.id
  limit %(limit)s::bigint
) as n
join notify.batch b on b.id = n.batch_id
order by n.due_at, n.id
limit %(limit)s::bigint
