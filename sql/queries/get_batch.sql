-- `data` as text: through Python's floats it would lose digits.
select b.id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference, b.scheduled_at,
  b.expires_at, b.created_at, c.count,
  jsonb_build_object('pending', c.pending, 'sending', c.sending, 'sent', c.sent, 'cancelled', c.cancelled,
    'failed', c.failed) as counts
from notify.batch b
cross join lateral (
  select count(*) as count,
    count(*) filter (where n.status = 'pending') as pending,
    count(*) filter (where n.status = 'sending') as sending,
    count(*) filter (where n.status = 'sent') as sent,
    count(*) filter (where n.status = 'cancelled') as cancelled,
    count(*) filter (where n.status = 'failed') as failed
  from notify.notification n where n.batch_id = b.id
) as c
where b.id = %(id)s::bigint
