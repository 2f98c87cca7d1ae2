-- Newest first, along the index of those that were not sent, and not below `floor`. The status as a text, so that no other
-- index is tempting.
select d.id, d.notification_id, n.batch_id, n.recipient, d.channel, d.status, d.due_at, d.attempts, d.sent_at, d.failed_at,
  d.code, d.error, d.held
from (
  select o.* from notify.delivery o
  where o.status <> 'sent'
    and o.id < coalesce(%(before)s::bigint, 9223372036854775807)
    and o.id >= coalesce(%(floor)s::bigint, -9223372036854775808)
    and (%(status)s::text is null or o.status::text = %(status)s::text)
    and (%(channel)s::text is null or o.channel = %(channel)s::text)
    and (%(code)s::text is null or o.code = %(code)s::text)
  order by o.id desc
  limit %(limit)s::bigint
) as d
join notify.notification n on n.id = d.notification_id
order by d.id desc
