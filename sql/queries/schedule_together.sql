select s.place, s.recipient, s.notification_id, s.batch_id, s.due_at
from notify.schedule_together(%(requests)s::jsonb) as s
