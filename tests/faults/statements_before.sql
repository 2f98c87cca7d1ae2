-- What the version before sends to the database; the schema of this one has to answer it, with these columns at least.

-- acknowledge: recipient
select a.recipient from notify.ack($1::text[], $2::bigint[], $3::bigint[]) as a;

-- cancel: done, status
select c.cancelled as done, c.status from notify.cancel($1::bigint) as c;

-- cancel_batch: cancel_batches
select notify.cancel_batches(array[$1::bigint]);

-- cancel_reference: cancel_reference
select notify.cancel_reference($1::text);

-- create_api_key: id, name, prefix, scopes, created_at, expires_at, revoked_at
insert into notify.api_key (name, prefix, hash, scopes, created_at, expires_at)
select $1::text, $2::text, $3::bytea, $4::text[], notify.now(),
  notify.now() + $5::interval
returning id, name, prefix, scopes, created_at, expires_at, revoked_at;

-- create_first_api_key: id
insert into notify.api_key (name, prefix, hash, scopes, created_at)
select $1::text, $2::text, $3::bytea, $4::text[], notify.now()
where not exists (select from notify.api_key)
returning id;

-- delete_cancelled: deleted, batches
select d.deleted, d.batches from notify.delete_cancelled(make_interval(days => $1::integer), $2::integer) as d;

-- delete_old: deleted, batches
select d.deleted, d.batches from notify.delete_old(make_interval(days => $1::integer), $2::integer) as d;

-- delete_recipient: delete_recipient
select notify.delete_recipient($1::text);

-- drain: picked, sent, sending, expired, busy, crowded, left_due, due_from, looked_at, next_due_in
select picked, sent, sending, expired, busy, crowded, left_due, due_from, looked_at, next_due_in
from notify.drain(
  p_max => $1::integer,
  p_due_from => $2::timestamptz,
  p_avoid => $3::text[],
  p_quarantine => $4::bigint[],
  p_only => $5::bigint[],
  p_signal => $6::boolean
);

-- due_ids: id
select unnest(notify.pick($1::integer, null, $2::text[], $3::bigint[], null)) as id;

-- find_api_key: id, scopes, expires_at
select k.id, k.scopes, k.expires_at
from notify.api_key k
where k.hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > notify.now());

-- get_accepted_at: coalesce
select coalesce((select b.scheduled_at from notify.batch b where b.id = $1::bigint), notify.now());

-- get_batch: id, type, priority, title, message, data, channels, reference, scheduled_at, expires_at, created_at, count, counts
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
where b.id = $1::bigint;

-- get_now: now
select notify.now();

-- get_recipient: id, time_zone, locale, addresses, preferences, created_at, updated_at
select r.id, r.time_zone, r.locale, r.addresses::text as addresses, r.preferences::text as preferences, r.created_at, r.updated_at
from notify.recipient r
where r.id = $1::text;

-- get_token_key: value
select s.value from notify.secret s where s.name = 'token_key';

-- hold_mailboxes: recipient
select m.recipient
from notify.mailbox m
where m.recipient = any ($1::text[])
order by m.recipient
for key share of m;

-- idempotency_begin: status, body, media_type
select (a.answer ->> 'status')::integer as status, a.answer ->> 'body' as body, a.answer ->> 'media_type' as media_type
from notify.idempotency_begin($1::text, $2::text, $3::bytea) as a (answer)
where a.answer is not null;

-- idempotency_finish: idempotency_finish
select notify.idempotency_finish($1::text, $2::text, $3::bytea,
  jsonb_build_object('status', $4::integer, 'body', $5::text, 'media_type', $6::text));

-- is_batch: exists
select exists (select from notify.batch b where b.id = $1::bigint);

-- is_recipient: exists
select exists (select from notify.recipient r where r.id = $1::text);

-- list_api_keys: id, name, prefix, scopes, created_at, expires_at, revoked_at
select k.id, k.name, k.prefix, k.scopes, k.created_at, k.expires_at, k.revoked_at
from notify.api_key k
order by k.id;

-- list_ceiling: at, id
select w.due_at as at, w.id
from unnest(enum_range(null::notify.priority)) as p (priority)
cross join lateral (
  select o.due_at, o.id from notify.notification o
  where o.status = 'pending' and o.priority = p.priority
    and (o.due_at, o.id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
    and o.due_at < coalesce($3::timestamptz, 'infinity')
  order by o.due_at, o.id
  offset $4::bigint - 1
  limit 1
) as w
order by w.due_at, w.id
limit 1;

-- list_failed: id, recipient, batch_id, type, priority, title, message, data, channels, reference, status, scheduled_at, expires_at, created_at, seq, sent_at, read_at, cancelled_at, cancel_reason, failed_at, failure_reason
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from notify.notification n
join notify.batch b on b.id = n.batch_id
where n.status = 'failed' and n.failed_at is not null
  and n.id < coalesce($1::bigint, 9223372036854775807)
  and ($2::text is null or b.type = $2::text)
  and n.due_at < coalesce($3::timestamptz, 'infinity')
order by n.id desc
limit $4::bigint;

-- list_floor: id
select n.id
from notify.notification n
where n.id < coalesce($1::bigint, 9223372036854775807)
order by n.id desc
offset $2::bigint - 1
limit 1;

-- list_newest: id, recipient, batch_id, type, priority, title, message, data, channels, reference, status, scheduled_at, expires_at, created_at, seq, sent_at, read_at, cancelled_at, cancel_reason, failed_at, failure_reason
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from (
  select o.* from notify.notification o
  where o.id < coalesce($1::bigint, 9223372036854775807)
    and o.id >= coalesce($2::bigint, -9223372036854775808)
    and ($3::notify.status is null or o.status = $3::notify.status)
    and ($4::text is null or (select c.type from notify.batch c where c.id = o.batch_id) = $4::text)
    and o.due_at < coalesce($5::timestamptz, 'infinity')
  order by o.id desc
  limit $6::bigint
) as n
join notify.batch b on b.id = n.batch_id
order by n.id desc;

-- list_of_recipient: id, recipient, batch_id, type, priority, title, message, data, channels, reference, status, scheduled_at, expires_at, created_at, seq, sent_at, read_at, cancelled_at, cancel_reason, failed_at, failure_reason
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from notify.batch b
join notify.notification n on n.batch_id = b.id
where n.recipient = $1::text
  and ($2::text is null or b.reference = $2::text)
  and ($3::notify.status is null or n.status = $3::notify.status)
  and ($4::text is null or b.type = $4::text)
  and n.due_at < coalesce($5::timestamptz, 'infinity')
  and n.id < coalesce($6::bigint, 9223372036854775807)
  and (n.due_at, n.id) > (coalesce($7::timestamptz, '-infinity'), coalesce($8::bigint, 0))
order by case when $9::boolean then n.due_at end, case when $9::boolean then n.id end, n.id desc
limit $10::bigint;

-- list_of_reference: id, recipient, batch_id, type, priority, title, message, data, channels, reference, status, scheduled_at, expires_at, created_at, seq, sent_at, read_at, cancelled_at, cancel_reason, failed_at, failure_reason
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from notify.batch b
join notify.notification n on n.batch_id = b.id
where b.reference = $1::text
  and ($2::text is null or n.recipient = $2::text)
  and ($3::notify.status is null or n.status = $3::notify.status)
  and ($4::text is null or b.type = $4::text)
  and n.due_at < coalesce($5::timestamptz, 'infinity')
  and n.id < coalesce($6::bigint, 9223372036854775807)
  and (n.due_at, n.id) > (coalesce($7::timestamptz, '-infinity'), coalesce($8::bigint, 0))
order by case when $9::boolean then n.due_at end, case when $9::boolean then n.id end, n.id desc
limit $10::bigint;

-- list_pending: id, recipient, batch_id, type, priority, title, message, data, channels, reference, status, scheduled_at, expires_at, created_at, seq, sent_at, read_at, cancelled_at, cancel_reason, failed_at, failure_reason
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from unnest(enum_range(null::notify.priority)) as p (priority)
cross join lateral (
  select o.* from notify.notification o
  where o.status = 'pending' and o.priority = p.priority
    and (o.due_at, o.id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
    and (o.due_at, o.id)
      <= (coalesce($3::timestamptz, 'infinity'), coalesce($4::bigint, 9223372036854775807))
    and o.due_at < coalesce($5::timestamptz, 'infinity')
    and ($6::text is null or (select c.type from notify.batch c where c.id = o.batch_id) = $6::text)
  order by o.due_at, o.id
  limit $7::bigint
) as n
join notify.batch b on b.id = n.batch_id
order by n.due_at, n.id
limit $7::bigint;

-- mark_read: marked, unread, last_seq
select r.marked, r.unread, r.last_seq from notify.mark_read($1::text, $2::bigint[], $3::bigint) as r;

-- measure_backlog: count, oldest_seconds
select count(*) as count,
  coalesce(extract(epoch from notify.now() - min(d.due_at)), 0)::double precision as oldest_seconds
from (
  select n.due_at
  from unnest(enum_range(null::notify.priority)) as p (priority)
  cross join lateral (
    select o.due_at from notify.notification o
    where o.status = 'pending' and o.priority = p.priority and o.due_at <= (select notify.now())
    order by o.due_at
    limit 2500
  ) as n
) as d;

-- park: park
select notify.park($1::bigint, $2::text);

-- pending_notifications: id, recipient, batch_id, type, priority, title, message, data, channels, reference, status, scheduled_at, expires_at, created_at, seq, sent_at, read_at, cancelled_at, cancel_reason, failed_at, failure_reason
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data, b.channels, b.reference, n.status,
  n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from unnest(enum_range(null::notify.priority)) as p (priority)
cross join lateral (
  select * from notify.notification o
  where o.status = 'pending' and o.priority = p.priority
    and (o.due_at, o.id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
  order by o.due_at, o.id
  limit $3::bigint
) as n
join notify.batch b on b.id = n.batch_id
order by n.due_at, n.id
limit $3::bigint;

-- plan: plan
select notify.plan();

-- read_contents: batch_id, type, priority, title, message, data, reference, created_at, expires_at
select b.id as batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.reference, b.created_at, b.expires_at
from notify.batch b
where b.id = any ($1::bigint[]);

-- read_inbox: epoch, last_seq, unread, seq, id, batch_id, scheduled_at, sent_at, read_at, type, priority, title, message, data, reference, created_at, expires_at
with box as materialized (
  select m.recipient, notify.epoch(m.generation) as epoch, m.last_seq, m.unread
  from notify.mailbox m
  where m.recipient = $1::text
)
select x.epoch, x.last_seq, x.unread, n.seq, n.id, n.batch_id, n.scheduled_at, n.sent_at, n.read_at,
  n.type, n.priority, n.title, n.message, n.data, n.reference, n.created_at, n.expires_at
from box x
left join lateral (
  select s.seq, s.id, s.batch_id, s.due_at as scheduled_at, s.sent_at, s.read_at,
    b.type, b.priority, b.title, b.message, b.data::text as data, b.reference, b.created_at, b.expires_at
  from notify.notification s
  join notify.batch b on b.id = s.batch_id
  where s.recipient = x.recipient and s.seq > $2::bigint
  order by s.seq
  limit $3::bigint
) n on true
order by n.seq;

-- read_mailboxes: recipient, generation, last_seq, unread
select m.recipient, m.generation, m.last_seq, m.unread
from notify.mailbox m
where m.recipient = any ($1::text[]);

-- read_signal_source: channel, cluster
select s.value as channel, rtrim(notify.epoch(0), '0') as cluster
from notify.secret s
where s.name = 'signal_channel';

-- read_stream: generation, epoch, last_seq, unread, acked_seq, floor_seq, seq, id, batch_id, scheduled_at, sent_at
with box as materialized (
  select m.recipient, m.generation, notify.epoch(m.generation) as epoch, m.last_seq, m.unread, m.acked_seq, m.floor_seq
  from notify.mailbox m
  where m.recipient = $1::text
)
select x.generation, x.epoch, x.last_seq, x.unread, x.acked_seq, x.floor_seq,
  n.seq, n.id, n.batch_id, n.scheduled_at, n.sent_at
from box x
left join lateral (
  select s.seq, s.id, s.batch_id, s.due_at as scheduled_at, s.sent_at
  from notify.notification s
  where s.recipient = x.recipient and s.seq > coalesce($2::bigint, x.acked_seq)
  order by s.seq
  limit $3::bigint
) n on true
order by n.seq;

-- reschedule: done, status
select r.rescheduled as done, r.status from notify.reschedule($1::bigint, $2::timestamptz) as r;

-- rescue_deliveries: rescue_deliveries
select notify.rescue_deliveries($1::integer);

-- retry: done, status
select r.retried as done, r.status
from notify.retry($1::bigint, make_interval(secs => $2::double precision * 60)) as r;

-- revoke_api_key: id
update notify.api_key k set revoked_at = coalesce(k.revoked_at, notify.now())
where k.id = $1::bigint
returning k.id;

-- schedule: recipient, notification_id, batch_id, replayed
select s.recipient, s.notification_id, s.batch_id, s.replayed
from notify.schedule(
  recipients => $1::text[],
  title => $2::text,
  message => $3::text,
  scheduled_at => case when $4::boolean and $5::timestamptz <= notify.now() then null
                       else $5::timestamptz end,
  type => $6::text,
  priority => $7::text,
  data => $8::jsonb,
  channels => $9::text[],
  idempotency_key => $10::text,
  reference => $11::text,
  expires_at => $12::timestamptz,
  unknown_recipients => $13::text
) as s;

-- schedule_status: id, title, scheduled_at, scheduled_status, is_sent, sent_at, created_at, cancel_reason, failure_reason, deliveries
select n.id, b.title, n.due_at as scheduled_at, n.status as scheduled_status, n.status = 'sent' as is_sent, n.sent_at,
  b.created_at, n.cancel_reason, n.failure_reason,
  array(
    select jsonb_build_object('id', d.id, 'channel', d.channel, 'status', d.status, 'due_at', d.due_at,
      'attempts', d.attempts, 'sent_at', d.sent_at, 'error', d.error)
    from notify.delivery d where d.notification_id = n.id order by d.id
  ) as deliveries
from notify.notification n
join notify.batch b on b.id = n.batch_id
where n.id = $1::bigint;

-- send: done, status
select s.sent as done, s.status from notify.send($1::bigint, $2::boolean) as s;

-- server_health: version, at, fsync, full_page_writes, standby, queue_usage
select current_setting('server_version_num')::integer as version, clock_timestamp() as at,
  current_setting('fsync')::boolean as fsync, current_setting('full_page_writes')::boolean as full_page_writes,
  pg_is_in_recovery() as standby, pg_notification_queue_usage() as queue_usage;

-- show_notification: id, recipient, batch_id, type, priority, title, message, data, channels, reference, status, scheduled_at, expires_at, created_at, seq, sent_at, read_at, cancelled_at, cancel_reason, failed_at, failure_reason
select n.id, n.recipient, n.batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.channels, b.reference,
  n.status, n.due_at as scheduled_at, b.expires_at, b.created_at, n.seq, n.sent_at, n.read_at, n.cancelled_at, n.cancel_reason,
  n.failed_at, n.failure_reason
from notify.notification n
join notify.batch b on b.id = n.batch_id
where n.id = $1::bigint;

-- tidy: answers, wakeups, jobs
select t.answers, t.wakeups, t.jobs from notify.tidy(make_interval(hours => $1::integer), $2::integer) as t;

-- upsert_recipients: id, created
select u.id, u.created from notify.upsert_recipients($1::jsonb, $2::boolean) as u;

-- work_health: workers, overdue, lateness, dead_letters
select
  (select count(distinct a.application_name) from pg_stat_activity a
   where a.datname = current_database()
     and starts_with(a.application_name, 'notify-worker ' || coalesce($1::text || ':', ''))
     and (a.state is distinct from 'idle' or a.state_change > clock_timestamp() - make_interval(secs => $2))) as workers,
  (select count(*) from (select from notify.overdue limit 1000) as o) as overdue,
  coalesce(extract(epoch from (select max(o.lateness) from (select o.lateness from notify.overdue o limit 1) as o))::double precision, 0)
    as lateness,
  (select count(*) from (select from notify.dead_letters limit 1000) as d) as dead_letters;
