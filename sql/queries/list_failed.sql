-- Newest first. There are few of them, and an index of their own finds them.
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from notify.notification n
join notify.batch b on b.id = n.batch_id
where n.status = 'failed' and n.failed_at is not null
  and n.id < coalesce(%(before)s::bigint, 9223372036854775807)
  and (%(type)s::text is null or b.type = %(type)s::text)
  and n.due_at < coalesce(%(due_before)s::timestamptz, 'infinity')
order by n.id desc
limit %(limit)s::bigint
