-- Outside channels. Until now no channel but the inbox could be scheduled for, so notify.delivery and notify.attempt are empty.
-- What the hot tables would need for it stands in tables beside them: they are neither rewritten nor locked for long.

alter table notify.channel
  add column paused_at timestamptz,
  add column retry jsonb check (jsonb_typeof(retry) = 'object'),
  add column rate double precision check (rate > 0),
  add constraint inbox_never_paused check (name <> 'inbox' or paused_at is null);
comment on column notify.channel.paused_at is 'Since when nothing is sent on it; null: it is not paused. What is due waits.';
comment on column notify.channel.retry is 'Its part of the retry policy: delays, jitter, max_age (seconds), final; null: the default.';
comment on column notify.channel.rate is 'Most deliveries a second, all workers together; null: no limit.';

-- Apart, as it changes with each lease: every delivery's foreign key looks at its channel, through all its versions.
create table notify.channel_state (
  channel text primary key references notify.channel (name) on delete cascade,
  tokens double precision not null default 0,
  filled_at timestamptz,
  failures integer not null default 0 check (failures >= 0),
  rests integer not null default 0 check (rests >= 0),
  rests_until timestamptz,
  tried_until timestamptz
) with (fillfactor = 50);
insert into notify.channel_state (channel) select c.name from notify.channel c;
comment on table notify.channel_state is 'What the workers know of each channel together: its rate, and whether it works.';
comment on column notify.channel_state.channel is 'Which channel.';
comment on column notify.channel_state.tokens is 'Deliveries that the rate allowed at filled_at.';
comment on column notify.channel_state.filled_at is 'When tokens were counted.';
comment on column notify.channel_state.failures is 'Outages in a row, as long as it is not resting.';
comment on column notify.channel_state.rests is 'How often in a row it was put to rest; 0: it works.';
comment on column notify.channel_state.rests_until is 'Until then nothing is tried on it.';
comment on column notify.channel_state.tried_until is 'Until then the one delivery that tries whether it works again is under way.';

create table notify.type (
  name text primary key check (char_length(name) between 1 and 100),
  required boolean not null default false,
  paused_at timestamptz,
  retry jsonb check (jsonb_typeof(retry) = 'object')
);
comment on table notify.type is 'Types of notification that something is to be said about; all others are as if they had the defaults.';
comment on column notify.type.name is 'As callers write it in `type`.';
comment on column notify.type.required is 'Whether recipients cannot opt out of it.';
comment on column notify.type.paused_at is 'Since when its deliveries on outside channels wait; null: they do not.';
comment on column notify.type.retry is 'Its part of the retry policy, which goes before the channel''s; null: nothing of its own.';

create table notify.endpoint (
  recipient text collate "C" not null references notify.recipient (id) on delete cascade,
  channel text not null references notify.channel (name),
  address_hash text not null,
  failures integer not null check (failures > 0),
  failing_since timestamptz not null,
  failed_at timestamptz not null,
  rests_until timestamptz,
  disabled_at timestamptz,
  disabled_reason text,
  primary key (recipient, channel),
  constraint disabled_or_reason_null check ((disabled_at is null) = (disabled_reason is null))
);
comment on table notify.endpoint is 'Addresses that failed last time. Another address of the recipient makes its row void.';
comment on column notify.endpoint.recipient is 'Whose address.';
comment on column notify.endpoint.channel is 'On which channel.';
comment on column notify.endpoint.address_hash is 'MD5 of the address that failed.';
comment on column notify.endpoint.failures is 'How often in a row.';
comment on column notify.endpoint.failing_since is 'Since when nothing got through.';
comment on column notify.endpoint.failed_at is 'When it last failed.';
comment on column notify.endpoint.rests_until is 'Until then it is left alone: it asked for that, or fails.';
comment on column notify.endpoint.disabled_at is 'From then on nothing is sent to it.';
comment on column notify.endpoint.disabled_reason is 'Why.';

create table notify.batch_option (
  batch_id bigint primary key references notify.batch (id) on delete cascade,
  retry jsonb check (jsonb_typeof(retry) = 'object'),
  spread_over interval check (spread_over > interval '0'),
  contents jsonb check (jsonb_typeof(contents) = 'object')
);
comment on table notify.batch_option is 'What few batches have.';
comment on column notify.batch_option.batch_id is 'Which batch.';
comment on column notify.batch_option.retry is 'Its part of the retry policy, which goes before the type''s; null: nothing of its own.';
comment on column notify.batch_option.spread_over is 'Over how long its notifications were spread; null: all are due at once.';
comment on column notify.batch_option.contents is 'What a template made of it: {default_locale, locales: {"de": {title, message, html}}}; null: none.';

alter table notify.delivery
  add column priority notify.priority not null default 'normal',
  add column since timestamptz,
  add column retries_from integer not null default 0,
  add column held text,
  add column code text;
comment on column notify.delivery.priority is 'The notification''s, copied here because workers pick by it.';
comment on column notify.delivery.since is 'When it was first tried, since it was made or last replayed: its maximum age counts from then.';
comment on column notify.delivery.retries_from is 'Attempts that do not count: those before it was last replayed, and those that met a channel that was down.';
comment on column notify.delivery.held is 'Its type, while that is paused; null: it goes when it is due.';
comment on column notify.delivery.code is 'What the last failure was, as smtp-550, to count by.';
drop index notify.delivery_due;
create index delivery_due on notify.delivery (channel, priority, due_at, id) where status = 'pending' and held is null;
create index delivery_held on notify.delivery (held, id) where held is not null;
drop index notify.delivery_failed;
create index delivery_failed on notify.delivery (id) where status = 'failed';
create index delivery_unsent on notify.delivery (id) where status <> 'sent';

alter table notify.attempt add column code text;
comment on column notify.attempt.code is 'What the failure was, as smtp-550; null: it was sent.';

-- 'preferences': the recipient wants it on none of its channels. Validated by the next migration, without this lock.
alter table notify.notification
  drop constraint notification_cancel_reason_check,
  add constraint notification_cancel_reason_check check (cancel_reason in ('requested', 'expired', 'preferences')) not valid;
comment on column notify.notification.cancel_reason is 'requested, expired, or preferences: its recipient wants it on none of its channels.';

insert into notify.secret (name, value)
values
  ('installation', left(replace(gen_random_uuid()::text, '-', ''), 12)),
  ('unsubscribe_key', encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'hex'));
comment on column notify.secret.name is
  'signal_channel: the LISTEN name of the drain''s signals. token_key: signs recipient tokens. unsubscribe_key: signs links to unsubscribe. installation: makes the ids that providers see unique in the world; no secret.';
