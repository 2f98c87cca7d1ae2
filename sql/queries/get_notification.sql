select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data, b.channels, b.reference, n.status,
  n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from notify.notification n
join notify.batch b on b.id = n.batch_id
where n.id = %(id)s::bigint
