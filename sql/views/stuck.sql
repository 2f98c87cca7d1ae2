create or replace view notify.stuck as
select 'notification' as what, n.id, n.recipient, null::text as channel, n.due_at as since,
  case when exists (select from pg_locks l where l.locktype = 'advisory' and l.classid = 5477 and l.granted)
    then 'overdue by more than a minute while a drain is running: its row or mailbox may be locked by another session'
    else 'overdue by more than a minute: is a worker running?' end as hint
from notify.notification n
where n.status = 'pending' and n.due_at < notify.now() - interval '1 minute'
union all
select 'delivery', d.id, n.recipient, d.channel, d.leased_until, 'its lease ran out: retry_failed_notifications takes it back'
from notify.delivery d
join notify.notification n on n.id = d.notification_id
where d.status = 'leased' and d.leased_until < notify.now()
union all
select 'delivery', d.id, n.recipient, d.channel, d.due_at, case when s.rests > 0 then 'overdue by more than five minutes: its channel rests after outages, and is tried again by itself'
    when c.rate is not null then 'overdue by more than five minutes: its channel has a limited rate'
    else 'overdue by more than five minutes: does a worker serve its channel?' end
from notify.delivery d
join notify.notification n on n.id = d.notification_id
join notify.channel c on c.name = d.channel
join notify.channel_state s on s.channel = d.channel
where d.status = 'pending' and d.held is null and d.due_at < notify.now() - interval '5 minutes' and c.paused_at is null;
comment on view notify.stuck is 'What should have moved and did not, with a hint where to look.';
comment on column notify.stuck.what is 'notification or delivery.';
comment on column notify.stuck.id is 'Its id.';
comment on column notify.stuck.recipient is 'Who waits for it.';
comment on column notify.stuck.channel is 'Of a delivery.';
comment on column notify.stuck.since is 'Since when it should have moved.';
comment on column notify.stuck.hint is 'What to look at.';
