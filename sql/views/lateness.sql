create or replace view notify.lateness as
select date_trunc('minute', n.sent_at) as minute, count(*) as sent,
  round((percentile_cont(0.5) within group (order by extract(epoch from n.sent_at - n.due_at)) * 1000)::numeric, 1) as p50_ms,
  round((percentile_cont(0.99) within group (order by extract(epoch from n.sent_at - n.due_at)) * 1000)::numeric, 1) as p99_ms,
  round((max(extract(epoch from n.sent_at - n.due_at)) * 1000)::numeric, 1) as max_ms
from notify.notification n
where n.sent_at is not null and n.sent_at > notify.now() - interval '1 hour'
group by 1
order by 1 desc;
comment on view notify.lateness is 'How late notifications left, minute by minute, over the last hour.';
comment on column notify.lateness.minute is 'Start of the minute in which they were sent.';
comment on column notify.lateness.sent is 'How many.';
comment on column notify.lateness.p50_ms is 'Half of them were at most that late, in milliseconds.';
comment on column notify.lateness.p99_ms is '99 of 100 were at most that late, in milliseconds.';
comment on column notify.lateness.max_ms is 'The latest of them, in milliseconds.';
