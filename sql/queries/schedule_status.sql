select s.id, s.title, s.scheduled_at, s.scheduled_status, s.is_sent, s.sent_at, s.created_at, s.cancel_reason, s.failure_reason,
  s.deliveries
from notify.schedule_status(%(id)s::bigint) as s
