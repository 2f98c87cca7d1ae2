create or replace view notify.dead_letters as
select n.id as notification_id, null::bigint as delivery_id, n.recipient, null::text as channel, n.failed_at, n.failure_reason as reason, null::text as code
from notify.notification n
where n.failed_at is not null
union all
select d.notification_id, d.id, n.recipient, d.channel, d.failed_at, d.error, d.code
from notify.delivery d
join notify.notification n on n.id = d.notification_id
where d.status = 'failed';
comment on view notify.dead_letters is 'What was given up: notifications parked as faulty, and deliveries out of attempts.';
comment on column notify.dead_letters.notification_id is 'Which notification.';
comment on column notify.dead_letters.delivery_id is 'Which delivery of it; null: the notification itself.';
comment on column notify.dead_letters.recipient is 'Who did not get it.';
comment on column notify.dead_letters.channel is 'Of a delivery.';
comment on column notify.dead_letters.failed_at is 'When it was given up.';
comment on column notify.dead_letters.reason is 'Why.';
comment on column notify.dead_letters.code is 'What the failure of a delivery was, as smtp-550; null: the notification itself.';
