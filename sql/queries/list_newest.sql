-- Newest first, along the primary key and not below `floor`: what the filters want may be rare, or nowhere. The type is
-- looked up row by row, so that the walk stays one along the key, however many batches there are.
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from (
  select o.* from notify.notification o
  where o.id < coalesce(%(before)s::bigint, 9223372036854775807)
    and o.id >= coalesce(%(floor)s::bigint, -9223372036854775808)
    and (%(status)s::notify.status is null or o.status = %(status)s::notify.status)
    and (%(type)s::text is null or (select c.type from notify.batch c where c.id = o.batch_id) = %(type)s::text)
    and o.due_at < coalesce(%(due_before)s::timestamptz, 'infinity')
  order by o.id desc
  limit %(limit)s::bigint
) as n
join notify.batch b on b.id = n.batch_id
order by n.id desc
