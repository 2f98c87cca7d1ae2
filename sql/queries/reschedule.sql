select r.rescheduled as done, r.status from notify.reschedule(%(id)s::bigint, %(scheduled_at)s::timestamptz) as r
