select n.id, b.title, n.due_at as scheduled_at, n.status as scheduled_status, n.status = 'sent' as is_sent, n.sent_at,
  b.created_at, n.cancel_reason, n.failure_reason,
  array(
    select jsonb_build_object('id', d.id, 'channel', d.channel, 'status', d.status, 'due_at', d.due_at,
      'attempts', d.attempts, 'sent_at', d.sent_at, 'error', d.error)
    from notify.delivery d where d.notification_id = n.id order by d.id
  ) as deliveries
from notify.notification n
join notify.batch b on b.id = n.batch_id
where n.id = %(id)s::bigint
