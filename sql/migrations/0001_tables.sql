-- notify in one page.
--
-- A *batch* is one schedule request: the content, stored once. A *notification* is one recipient's
-- copy of it, with the time it is due and a status. A *mailbox* is one row a recipient: it counts
-- that recipient's stream (`last_seq`) and what of it is unread.
--
--   schedule()  inserts batch + notifications(pending)             in the caller's transaction
--   drain()     due rows + their mailboxes, locked, numbered       status = sent, seq = 1, 2, 3, …
--               one signal a chunk tells the gateways what came
--   the gateway reads rows beyond a socket's last seq, and nothing else
--
-- The rows are the truth. `wakeup` rows and Procrastinate jobs are alarm clocks: losing all of them
-- makes a notification later by a bounded time, and nothing worse. What cannot be is refused here,
-- by CHECKs and foreign keys, whatever the code above does.
--
-- Lock order of every writer: notification rows first, then mailboxes in recipient order.

create type notify.status as enum ('pending', 'sending', 'sent', 'cancelled', 'failed');
comment on type notify.status is
  'Life of a notification: pending, sending (outside channels under way), sent, or cancelled, or failed.';

create type notify.priority as enum ('low', 'normal', 'high', 'urgent');
comment on type notify.priority is 'Order in which due notifications leave; urgent first.';

create type notify.delivery_status as enum ('pending', 'leased', 'sent', 'failed', 'cancelled');
comment on type notify.delivery_status is 'Life of one notification on one outside channel.';

-- What the service itself needs to know ------------------------------------------------------

create table notify.secret (
  name text primary key,
  value text not null check (value <> '')
);
comment on table notify.secret is
  'Values that every process of the service shares and nobody else reads.';
comment on column notify.secret.name is 'signal_channel: the LISTEN name of the drain''s signals. token_key: signs recipient tokens.';
comment on column notify.secret.value is 'The secret itself.';

insert into notify.secret (name, value)
values
  ('signal_channel', 'notify_' || replace(gen_random_uuid()::text, '-', '')),
  ('token_key', encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'hex'));

create table notify.channel (
  name text primary key check (name ~ '^[a-z][a-z0-9_]{0,31}$'),
  description text not null
);
comment on table notify.channel is 'Ways to reach a recipient. schedule() refuses a name that is not here.';
comment on column notify.channel.name is 'As callers write it in `channels`.';
comment on column notify.channel.description is 'What it does, for people.';

insert into notify.channel (name, description)
values ('inbox', 'Stored in the recipient''s stream and pushed to open websockets.');

create table notify.api_key (
  id bigint generated always as identity primary key,
  name text not null check (name <> '' and char_length(name) <= 100),
  prefix text not null,
  hash bytea not null unique check (octet_length(hash) = 32),
  scopes text[] not null check (cardinality(scopes) > 0 and scopes <@ array['schedule', 'read', 'admin']),
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz
);
comment on table notify.api_key is 'Keys of applications. The key itself is shown once and stored nowhere.';
comment on column notify.api_key.id is 'Number that `notify keys revoke` takes.';
comment on column notify.api_key.name is 'Who uses it, for people.';
comment on column notify.api_key.prefix is 'First characters of the key, to recognise it by.';
comment on column notify.api_key.hash is 'SHA-256 of the whole key. The key has 256 random bits, so no salt is needed.';
comment on column notify.api_key.scopes is 'schedule: schedule, cancel, move, send and retry notifications, and mark them read. read: look at them. admin: all, and recipients and tokens.';
comment on column notify.api_key.created_at is 'When it was made.';
comment on column notify.api_key.expires_at is 'From then on it is refused; null: never.';
comment on column notify.api_key.revoked_at is 'When it was revoked; null: it was not.';

create table notify.idempotency (
  owner text not null,
  key text not null check (char_length(key) between 1 and 255),
  request_hash bytea not null,
  answer jsonb not null,
  created_at timestamptz not null,
  primary key (owner, key)
);
create index idempotency_created on notify.idempotency (created_at);
comment on table notify.idempotency is 'First answers, kept so that a repeated request gets the same one.';
comment on column notify.idempotency.owner is 'Whose key it is: an API key (`key:7`) or a database role (`sql:app`).';
comment on column notify.idempotency.key is 'The caller''s Idempotency-Key.';
comment on column notify.idempotency.request_hash is 'SHA-256 of the request; another request under the same key is refused.';
comment on column notify.idempotency.answer is 'What was answered first.';
comment on column notify.idempotency.created_at is 'Kept at least 24 h from then.';

create table notify.wakeup (
  at timestamptz not null,
  due_from timestamptz not null
);
create index wakeup_at on notify.wakeup (at);
comment on table notify.wakeup is
  'Unanswered rings of the alarm clock. They damp duplicates; none of them is needed for correctness, so no unique key makes one caller wait for another.';
comment on column notify.wakeup.at is 'When the drain should look.';
comment on column notify.wakeup.due_from is 'Due time from which it should look: rows that were committed late lie before the ticker''s low-water mark.';

-- Recipients -----------------------------------------------------------------------------------

-- The C collation: ids are compared as bytes, so that "recipient order" is one order everywhere.
create table notify.recipient (
  id text collate "C" primary key,
  time_zone text check (time_zone <> ''),
  locale text check (locale <> ''),
  addresses jsonb not null default '{}' check (jsonb_typeof(addresses) = 'object'),
  preferences jsonb not null default '{}' check (jsonb_typeof(preferences) = 'object'),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint recipient_small check (octet_length(addresses::text) + octet_length(preferences::text) <= 16384),
  -- Signals separate their fields by control characters, so ids must not contain any.
  constraint recipient_id_printable check (octet_length(id) between 1 and 128 and id !~ '[\u0001-\u001f\u007f-\u009f]')
);
comment on table notify.recipient is 'Who receives.';
comment on column notify.recipient.id is 'The application''s own id: 1 to 128 bytes, no control characters.';
comment on column notify.recipient.time_zone is 'IANA name; null: UTC.';
comment on column notify.recipient.locale is 'BCP 47 tag; null: none known.';
comment on column notify.recipient.addresses is 'Addresses by channel, as {"email": "ada@example.org"}.';
comment on column notify.recipient.preferences is 'What the recipient wants, as the application defines it.';
comment on column notify.recipient.created_at is 'When it was first registered.';
comment on column notify.recipient.updated_at is 'When something of it last changed.';

create sequence notify.mailbox_generation;
comment on sequence notify.mailbox_generation is 'Tells a recipient who was deleted and made again from the one before.';

-- The hottest row of a recipient: no index on what changes, and room in its page, so updates stay HOT.
create table notify.mailbox (
  recipient text collate "C" primary key references notify.recipient (id),
  generation bigint not null default nextval('notify.mailbox_generation'),
  last_seq bigint not null default 0,
  unread bigint not null default 0,
  acked_seq bigint not null default 0,
  floor_seq bigint not null default 0,
  constraint mailbox_acked check (acked_seq between 0 and last_seq),
  constraint mailbox_floor check (floor_seq between 0 and last_seq),
  constraint mailbox_unread check (unread between 0 and last_seq)
) with (fillfactor = 70);
comment on table notify.mailbox is 'Where a recipient''s stream stands. Its row lock makes seq order the commit order.';
comment on column notify.mailbox.recipient is 'Whose it is.';
comment on column notify.mailbox.generation is 'Part of the epoch: a new one when the recipient was deleted and made again.';
comment on column notify.mailbox.last_seq is 'Seq of the newest notification in the stream; 0: none yet.';
comment on column notify.mailbox.unread is 'Stored notifications of the stream that were not marked read. Exact at all times.';
comment on column notify.mailbox.acked_seq is 'Up to here a client said that it received.';
comment on column notify.mailbox.floor_seq is 'Up to here retention may have deleted; a cursor below it means reset.';

-- What is sent -----------------------------------------------------------------------------------

create table notify.batch (
  id bigint generated always as identity primary key,
  type text not null check (char_length(type) between 1 and 100),
  priority notify.priority not null,
  title text not null check (char_length(title) between 1 and 200),
  message text not null check (octet_length(message) between 1 and 16384),
  data jsonb not null check (jsonb_typeof(data) = 'object'),
  channels text[] not null check (cardinality(channels) between 1 and 16),
  reference text check (char_length(reference) between 1 and 200),
  scheduled_at timestamptz not null check (isfinite(scheduled_at)),
  expires_at timestamptz check (isfinite(expires_at)),
  created_at timestamptz not null,
  constraint batch_expires_later check (expires_at > scheduled_at)
);
create index batch_reference on notify.batch (reference) where reference is not null;
comment on table notify.batch is 'One schedule request: its content, stored once for all its recipients.';
comment on column notify.batch.id is 'Id that the API calls batch_id.';
comment on column notify.batch.type is 'Kind of notification, as the application names it.';
comment on column notify.batch.priority is 'Of all its notifications.';
comment on column notify.batch.title is 'Up to 200 characters.';
comment on column notify.batch.message is 'Up to 16 KiB.';
comment on column notify.batch.data is 'The application''s own JSON object, up to 16 KiB.';
comment on column notify.batch.channels is 'Where its notifications go; each name is one of notify.channel.';
comment on column notify.batch.reference is 'The caller''s own key, as invoice:42; cancel_reference() takes it.';
comment on column notify.batch.scheduled_at is 'When it was to be sent, as first asked for.';
comment on column notify.batch.expires_at is 'What is not sent by then is cancelled instead.';
comment on column notify.batch.created_at is 'When it was accepted.';

create table notify.notification (
  id bigint generated by default as identity primary key,
  batch_id bigint not null references notify.batch (id),
  due_at timestamptz not null check (isfinite(due_at)),
  seq bigint check (seq > 0),
  sent_at timestamptz,
  read_at timestamptz,
  cancelled_at timestamptz,
  failed_at timestamptz,
  status notify.status not null default 'pending',
  priority notify.priority not null,
  recipient text collate "C" not null references notify.mailbox (recipient),
  cancel_reason text check (cancel_reason in ('requested', 'expired')),
  failure_reason text,
  constraint sent_or_sent_at_null check ((status = 'sent') = (sent_at is not null)),
  constraint cancelled_or_cancelled_at_null check ((status = 'cancelled') = (cancelled_at is not null)),
  constraint cancelled_or_reason_null check ((status = 'cancelled') = (cancel_reason is not null)),
  constraint failed_or_failed_at_null check ((status = 'failed') = (failed_at is not null)),
  constraint failed_or_reason_null check ((status = 'failed') = (failure_reason is not null)),
  constraint seq_only_when_sent check (seq is null or status = 'sent'),
  constraint read_only_in_stream check (read_at is null or seq is not null),
  constraint never_early check (sent_at >= due_at)
);
create index notification_due on notify.notification (priority, due_at, id) where status = 'pending';
create unique index notification_stream on notify.notification (recipient, seq);
create index notification_batch on notify.notification (batch_id);
create index notification_sent on notify.notification (sent_at) where sent_at is not null;
create index notification_cancelled on notify.notification (cancelled_at) where cancelled_at is not null;
create index notification_failed on notify.notification (failed_at) where failed_at is not null;
comment on table notify.notification is 'One recipient''s copy of a batch: when it is due, and what became of it.';
comment on column notify.notification.id is 'Id that the API returns.';
comment on column notify.notification.batch_id is 'Its content.';
comment on column notify.notification.due_at is 'When it is to be sent; rescheduling and retrying move it.';
comment on column notify.notification.seq is 'Its place in the recipient''s stream, without gaps; null until sent, or when the inbox is not among its channels.';
comment on column notify.notification.sent_at is 'When the drain sent it, by the database''s clock.';
comment on column notify.notification.read_at is 'When the recipient marked it read.';
comment on column notify.notification.cancelled_at is 'When it was cancelled.';
comment on column notify.notification.failed_at is 'When it was given up or parked as faulty.';
comment on column notify.notification.status is 'pending, sending, sent, cancelled or failed.';
comment on column notify.notification.priority is 'The batch''s, copied here because the drain picks by it.';
comment on column notify.notification.recipient is 'Who receives it.';
comment on column notify.notification.cancel_reason is 'requested, or expired.';
comment on column notify.notification.failure_reason is 'Why it failed.';

-- Outside channels ------------------------------------------------------------------------------

create table notify.delivery (
  id bigint generated always as identity primary key,
  notification_id bigint not null references notify.notification (id) on delete cascade,
  channel text not null references notify.channel (name) check (channel <> 'inbox'),
  status notify.delivery_status not null default 'pending',
  due_at timestamptz not null,
  attempts integer not null default 0 check (attempts >= 0),
  lease_token uuid,
  leased_until timestamptz,
  sent_at timestamptz,
  failed_at timestamptz,
  error text,
  unique (notification_id, channel),
  constraint leased_or_token_null check ((status = 'leased') = (lease_token is not null)),
  constraint leased_or_until_null check ((status = 'leased') = (leased_until is not null)),
  constraint delivered_or_sent_at_null check ((status = 'sent') = (sent_at is not null)),
  constraint dead_or_failed_at_null check ((status = 'failed') = (failed_at is not null))
);
create index delivery_due on notify.delivery (channel, due_at, id) where status = 'pending';
create index delivery_leased on notify.delivery (leased_until) where status = 'leased';
create index delivery_failed on notify.delivery (failed_at) where status = 'failed';
comment on table notify.delivery is 'One notification on one outside channel. The inbox needs none: its delivery is the commit.';
comment on column notify.delivery.id is 'Stable id that the provider sees in every attempt.';
comment on column notify.delivery.notification_id is 'What is delivered.';
comment on column notify.delivery.channel is 'Where to; never inbox.';
comment on column notify.delivery.status is 'pending, leased (somebody is sending it), sent, failed or cancelled.';
comment on column notify.delivery.due_at is 'When the next attempt is due.';
comment on column notify.delivery.attempts is 'How many attempts were recorded.';
comment on column notify.delivery.lease_token is 'Whose lease it is; an attempt is recorded only where its token still holds.';
comment on column notify.delivery.leased_until is 'From then on the lease may be taken over.';
comment on column notify.delivery.sent_at is 'When the provider accepted it.';
comment on column notify.delivery.failed_at is 'When it ran out of attempts.';
comment on column notify.delivery.error is 'What the last failed attempt said.';

create table notify.attempt (
  delivery_id bigint not null references notify.delivery (id) on delete cascade,
  number integer not null check (number > 0),
  started_at timestamptz not null,
  finished_at timestamptz not null check (finished_at >= started_at),
  outcome text not null check (outcome in ('sent', 'retry', 'failed')),
  detail text,
  primary key (delivery_id, number)
);
comment on table notify.attempt is 'One try of a delivery. Rows are added and never changed.';
comment on column notify.attempt.delivery_id is 'Of which delivery.';
comment on column notify.attempt.number is '1, 2, 3, …';
comment on column notify.attempt.started_at is 'When the provider was called.';
comment on column notify.attempt.finished_at is 'When its answer was known.';
comment on column notify.attempt.outcome is 'sent, retry or failed.';
comment on column notify.attempt.detail is 'The provider''s answer, shortened.';

-- The doorbell is rung at commit -------------------------------------------------------------------

-- Deferred: a caller may hold its transaction open past the due time. At its commit the ring says
-- from which due time the drain has to look. What the ring does stands in functions/ring.sql.
create function notify.ring_at_commit() returns trigger language plpgsql as $$
begin
  perform notify.ring(tg_table_name, new.id);
  return null;
end
$$;
comment on function notify.ring_at_commit() is 'Rings the doorbell for what this transaction made due.';

create constraint trigger batch_rings after insert on notify.batch
deferrable initially deferred for each row execute function notify.ring_at_commit();

create constraint trigger notification_rings after update of due_at on notify.notification
deferrable initially deferred for each row when (new.status = 'pending') execute function notify.ring_at_commit();
