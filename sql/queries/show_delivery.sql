select d.id, d.notification_id, n.batch_id, n.recipient, d.channel, d.status, d.due_at, d.attempts, d.sent_at, d.failed_at,
  d.code, d.error, d.held,
  (
    select coalesce(jsonb_agg(jsonb_build_object('number', a.number, 'started_at', a.started_at, 'finished_at', a.finished_at,
      'outcome', a.outcome, 'code', a.code, 'detail', a.detail) order by a.number), '[]')
    from notify.attempt a where a.delivery_id = d.id
  ) as history
from notify.delivery d
join notify.notification n on n.id = d.notification_id
where d.id = %(id)s::bigint
