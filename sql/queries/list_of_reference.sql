-- Those of one reference, found by its batches; newest first, or the next due first.
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from notify.batch b
join notify.notification n on n.batch_id = b.id
where b.reference = %(reference)s::text
  and (%(recipient)s::text is null or n.recipient = %(recipient)s::text)
  and (%(status)s::notify.status is null or n.status = %(status)s::notify.status)
  and (%(type)s::text is null or b.type = %(type)s::text)
  and n.due_at < coalesce(%(due_before)s::timestamptz, 'infinity')
  and n.id < coalesce(%(before)s::bigint, 9223372036854775807)
  and (n.due_at, n.id) > (coalesce(%(after_due)s::timestamptz, '-infinity'), coalesce(%(after_id)s::bigint, 0))
order by case when %(by_due)s::boolean then n.due_at end, case when %(by_due)s::boolean then n.id end, n.id desc
limit %(limit)s::bigint
