create or replace view notify.delivery_counts as
select d.channel, d.status, d.code, count(*) as deliveries, min(d.due_at) as earliest_due, max(d.failed_at) as last_failed
from notify.delivery d
group by d.channel, d.status, d.code
order by d.channel, d.status, count(*) desc;
comment on view notify.delivery_counts is 'How many deliveries stand where, by channel, status and error code. Reads every row: for people, not for dashboards that poll.';
comment on column notify.delivery_counts.channel is 'On which channel.';
comment on column notify.delivery_counts.status is 'pending, leased, sent, failed or cancelled.';
comment on column notify.delivery_counts.code is 'What the last failure was, as smtp-550; null: there was none.';
comment on column notify.delivery_counts.deliveries is 'How many.';
comment on column notify.delivery_counts.earliest_due is 'Earliest due time of an attempt among them.';
comment on column notify.delivery_counts.last_failed is 'When the last of them was given up.';
