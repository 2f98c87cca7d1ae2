-- `data` as text: through Python's floats it would lose digits.
select b.id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference, b.scheduled_at,
  b.expires_at, b.created_at, c.count,
  jsonb_build_object('pending', c.pending, 'sending', c.sending, 'sent', c.sent, 'cancelled', c.cancelled,
    'failed', c.failed) as counts,
  case when b.channels = '{inbox}' then '{}' else (
    select coalesce(jsonb_object_agg(d.channel, jsonb_build_object('pending', d.pending, 'leased', d.leased, 'sent', d.sent,
      'failed', d.failed, 'cancelled', d.cancelled)), '{}')
    from (
      select o.channel,
        count(*) filter (where o.status = 'pending') as pending,
        count(*) filter (where o.status = 'leased') as leased,
        count(*) filter (where o.status = 'sent') as sent,
        count(*) filter (where o.status = 'failed') as failed,
        count(*) filter (where o.status = 'cancelled') as cancelled
      from notify.notification n
      join notify.delivery o on o.notification_id = n.id
      where n.batch_id = b.id
      group by o.channel
    ) as d
  ) end as deliveries
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
