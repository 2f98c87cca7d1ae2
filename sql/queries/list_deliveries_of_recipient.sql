-- Those of one recipient, found along the stream's index; newest first.
select d.id, d.notification_id, n.batch_id, n.recipient, d.channel, d.status, d.due_at, d.attempts, d.sent_at, d.failed_at,
  d.code, d.error, d.held
from notify.notification n
join notify.delivery d on d.notification_id = n.id
where n.recipient = %(recipient)s::text
  and (%(status)s::text is null or d.status::text = %(status)s::text)
  and (%(channel)s::text is null or d.channel = %(channel)s::text)
  and (%(code)s::text is null or d.code = %(code)s::text)
  and d.id < coalesce(%(before)s::bigint, 9223372036854775807)
-- Sorted: along the key of all deliveries it would walk over everybody else's.
order by d.id + 0 desc
limit %(limit)s::bigint
