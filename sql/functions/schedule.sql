create or replace function notify.check_content(
  p_title text, p_message text, p_type text, p_priority text, p_data jsonb, p_channels text[], p_reference text
) returns void
language plpgsql stable as $$
declare
  v_unknown text;
begin
  if coalesce(p_title, '') = '' then
    perform notify.refuse('NT001', 'title', 'title must not be empty');
  elsif char_length(p_title) > 200 then
    perform notify.refuse('NT003', 'title', 'title has more than 200 characters');
  end if;
  if coalesce(p_message, '') = '' then
    perform notify.refuse('NT001', 'message', 'message must not be empty');
  elsif octet_length(p_message) > 16384 then
    perform notify.refuse('NT003', 'message', 'message has more than 16384 bytes');
  end if;
  if p_type is null or char_length(p_type) not between 1 and 100 then
    perform notify.refuse('NT001', 'type', 'type must have 1 to 100 characters');
  end if;
  if p_priority is null or p_priority not in ('low', 'normal', 'high', 'urgent') then
    perform notify.refuse('NT001', 'priority', 'priority must be one of low, normal, high, urgent');
  end if;
  if p_data is null or jsonb_typeof(p_data) <> 'object' then
    perform notify.refuse('NT001', 'data', 'data must be a JSON object');
  -- Postgres writes a space after each comma and colon; callers do not count those.
  elsif octet_length(p_data::text) > 16384
    and octet_length(replace(replace(p_data::text, '": ', '":'), ', ', ',')) > 16384 then
    perform notify.refuse('NT003', 'data', 'data has more than 16384 bytes');
  elsif notify.is_deep(p_data) then
    perform notify.refuse('NT003', 'data', 'data is nested deeper than 64 levels');
  end if;
  if p_reference is not null and char_length(p_reference) not between 1 and 200 then
    perform notify.refuse('NT001', 'reference', 'reference must have 1 to 200 characters');
  end if;
  if p_channels is null or cardinality(p_channels) not between 1 and 16 then
    perform notify.refuse('NT001', 'channels', 'channels must name 1 to 16 channels');
  elsif p_channels <> '{inbox}' then
    select coalesce(c.name, 'null') into v_unknown from unnest(p_channels) as c (name)
    where not exists (select from notify.channel k where k.name = c.name) limit 1;
    if found then
      perform notify.refuse('NT001', 'channels', format('channel %s is not known; known are %s. A worker makes known what it serves when it starts%s',
        quote_literal(left(v_unknown, 64)), (select string_agg(c.name, ', ' order by c.name) from notify.channel c),
        case v_unknown when 'email' then ', email with NOTIFY_SMTP_URL' else '' end));
    end if;
  end if;
end
$$;
comment on function notify.check_content(text, text, text, text, jsonb, text[], text) is
  'Refuses content that cannot be accepted, naming the field.';

create or replace function notify.check_time(p_at timestamptz, p_expires_at timestamptz, p_now timestamptz) returns void
language plpgsql immutable as $$
begin
  if p_at <= p_now then
    perform notify.refuse('NT002', 'scheduled_at', 'scheduled_at must lie in the future');
  elsif p_at > p_now + interval '5 years' then
    perform notify.refuse('NT003', 'scheduled_at', 'scheduled_at must lie at most 5 years ahead');
  elsif p_expires_at <= coalesce(p_at, p_now) then
    perform notify.refuse('NT001', 'expires_at', 'expires_at must lie after scheduled_at');
  elsif not isfinite(p_expires_at) then
    perform notify.refuse('NT001', 'expires_at', 'expires_at must be finite');
  end if;
end
$$;
comment on function notify.check_time(timestamptz, timestamptz, timestamptz) is
  'Refuses times that cannot be accepted. A null p_at means now.';

create or replace function notify.distinct_ids(p_ids text[]) returns text[]
language plpgsql immutable as $$
begin
  -- Most requests have one recipient, for whom no query is worth its start.
  if cardinality(p_ids) <= 1 then
    return p_ids;
  end if;
  return array(select u.id from unnest(p_ids) with ordinality as u (id, place) group by u.id order by min(u.place));
end
$$;
comment on function notify.distinct_ids(text[]) is 'The ids in their order; doubles are one, at their first place.';

create or replace function notify.check_options(p_options jsonb, p_at timestamptz, p_expires_at timestamptz) returns void
language plpgsql immutable as $$
declare
  v_minutes jsonb := p_options -> 'spread_over';
begin
  if jsonb_typeof(p_options) <> 'object' or p_options - '{retry,spread_over,contents}'::text[] <> '{}' then
    perform notify.refuse('NT001', 'options', 'options must be an object of retry, spread_over and contents');
  end if;
  perform notify.check_retry(nullif(p_options -> 'retry', 'null'));
  if coalesce(v_minutes, 'null') <> 'null' and (jsonb_typeof(v_minutes) <> 'number'
      or (v_minutes #>> '{}')::numeric not between 1 and 10080 or (v_minutes #>> '{}')::numeric % 1 <> 0) then
    perform notify.refuse('NT001', 'spread_over', 'spread_over must be a whole number of minutes from 1 to 10080');
  elsif p_expires_at <= p_at + make_interval(mins => (p_options ->> 'spread_over')::numeric::integer) then
    perform notify.refuse('NT001', 'expires_at', 'expires_at must lie after the last notification of spread_over is due');
  end if;
  if coalesce(p_options -> 'contents', 'null') <> 'null' and (
      jsonb_typeof(p_options -> 'contents' -> 'locales' -> (p_options #>> '{contents,default_locale}')) is distinct from 'object'
      or octet_length((p_options -> 'contents')::text) > 4194304) then
    perform notify.refuse('NT001', 'contents', 'contents must be an object of default_locale and locales, which has that one, of 4 MiB at most');
  end if;
end
$$;
comment on function notify.check_options(jsonb, timestamptz, timestamptz) is
  'Refuses options of a schedule request that cannot be accepted, naming the field.';

create or replace function notify.store(p_batches notify.batch[], p_of integer[], p_recipients text[], p_options jsonb default null)
returns table (of integer, recipient text, notification_id bigint, batch_id bigint, due_at timestamptz)
language plpgsql set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_ids bigint[];
  v_priorities notify.priority[];
  v_times timestamptz[];
  v_spread interval := make_interval(mins => (p_options ->> 'spread_over')::numeric::integer);
  v_stored bigint;
begin
  -- Rows come back in the order in which they were inserted, here and below.
  with added as (
    insert into notify.batch (type, priority, title, message, data, channels, reference, scheduled_at, expires_at, created_at)
    select b.type, b.priority, b.title, b.message, b.data,
      case when cardinality(b.channels) = 1 then b.channels else array(select distinct c.name from unnest(b.channels) as c (name)) end,
      b.reference, b.scheduled_at, b.expires_at, b.created_at
    from unnest(p_batches) as b
    returning id, priority, scheduled_at
  )
  select array_agg(a.id), array_agg(a.priority), array_agg(a.scheduled_at) into v_ids, v_priorities, v_times from added a;
  -- Where nobody is known there is no batch.
  if p_options is not null and v_ids is not null then
    insert into notify.batch_option (batch_id, retry, spread_over, contents)
    values (v_ids[1], nullif(p_options -> 'retry', 'null'), v_spread, nullif(p_options -> 'contents', 'null'));
  end if;
  return query
  insert into notify.notification (batch_id, recipient, priority, due_at)
  select v_ids[g.of], g.recipient, v_priorities[g.of],
    case when v_spread is null then v_times[g.of] else v_times[g.of] + v_spread * ((g.place - 1)::double precision / cardinality(p_recipients)) end
  from unnest(p_of, p_recipients) with ordinality as g (of, recipient, place)
  returning array_position(v_ids, batch_id), recipient, id, batch_id, due_at;
  get diagnostics v_stored = row_count;
  if v_stored < cardinality(p_recipients) then
    -- A trigger of the application has left some out.
    return query
    select g.of, g.recipient, null::bigint, null::bigint, v_times[g.of] from unnest(p_of, p_recipients) as g (of, recipient)
    where not exists (select from notify.notification n where n.batch_id = v_ids[g.of] and n.recipient = g.recipient);
  end if;
end
$$;
comment on function notify.store(notify.batch[], integer[], text[], jsonb) is
  'The one place where batches and notifications are written: p_recipients[i] is to receive p_batches[p_of[i]]. p_options: those of the only batch. All was checked, and the recipients are locked. Ids are given here, in that order. Returns a row for each; those without an id, of whom a trigger of the application wanted none, come last.';

create or replace function notify.accept(
  p_recipients text[], p_title text, p_message text, p_at timestamptz, p_type text, p_priority text, p_data jsonb,
  p_channels text[], p_reference text, p_expires_at timestamptz, p_unknown text, p_options jsonb
) returns table (recipient text, notification_id bigint, batch_id bigint)
-- The plans are the same for one recipient and for many, and planning them takes as long as running them for one.
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_now timestamptz := notify.now();
  v_ids text[] := p_recipients;
  v_known text[];
  v_unknown text[];
  v_batch notify.batch;
begin
  perform notify.check_content(p_title, p_message, p_type, p_priority, p_data, p_channels, p_reference);
  perform notify.check_time(p_at, p_expires_at, v_now);
  if p_options is not null then
    perform notify.check_options(p_options, coalesce(p_at, v_now), p_expires_at);
  end if;
  -- Locked as the foreign key would lock them anyway, so that one who is being deleted is waited for and then unknown.
  -- Sorted as the index is, so that it is walked once, from its beginning to its end.
  v_known := array(
    select m.recipient from (select distinct u.id collate "C" as id from unnest(v_ids) as u (id)) g
    join notify.mailbox m on m.recipient = g.id order by m.recipient for key share of m
  );
  v_batch := row(null, p_type, p_priority, p_title, p_message, p_data, p_channels, p_reference, coalesce(p_at, v_now), p_expires_at, v_now);
  -- As many as were given: all are known, and none was given twice.
  if cardinality(v_known) < cardinality(v_ids) then
    v_ids := notify.distinct_ids(p_recipients);
  end if;
  if cardinality(v_known) < cardinality(v_ids) then
    v_unknown := array(
      select u.id from unnest(v_ids) with ordinality as u (id, place)
      where not exists (select from unnest(v_known) as k (id) where k.id = u.id) order by u.place
    );
    if p_unknown = 'reject' then
      perform notify.refuse('NT005', 'recipients', format('recipient %s is not known', quote_literal(left(v_unknown[1], 128))));
    elsif p_unknown = 'create' then
      perform notify.upsert_recipients((select jsonb_agg(jsonb_build_object('id', u.id)) from unnest(v_unknown) as u (id)), false);
    else
      v_known := array(
        select u.id from unnest(v_ids) with ordinality as u (id, place)
        where not exists (select from unnest(v_unknown) as k (id) where k.id = u.id) order by u.place
      );
      return query
      select u.id, s.notification_id, s.batch_id from unnest(v_ids) with ordinality as u (id, place)
      left join notify.store(case when cardinality(v_known) > 0 then array[v_batch] end,
        array_fill(1, array[cardinality(v_known)]), v_known, p_options) s on s.recipient = u.id
      order by u.place;
      return;
    end if;
  end if;
  return query
  select s.recipient, s.notification_id, s.batch_id
  from notify.store(array[v_batch], array_fill(1, array[cardinality(v_ids)]), v_ids, p_options) s;
end
$$;
comment on function notify.accept(text[], text, text, timestamptz, text, text, jsonb, text[], text, timestamptz, text, jsonb) is
  'Checks and stores one schedule request. Called by schedule(), which adds idempotency.';

create or replace function notify.schedule(
  recipients text[],
  title text,
  message text,
  scheduled_at timestamptz default null,
  type text default 'system',
  priority text default 'normal',
  data jsonb default '{}',
  channels text[] default '{inbox}',
  idempotency_key text default null,
  reference text default null,
  expires_at timestamptz default null,
  unknown_recipients text default 'skip',
  options jsonb default null
) returns table (recipient text, notification_id bigint, batch_id bigint, replayed boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_owner text := 'sql:' || session_user;
  v_hash bytea;
  v_answer jsonb;
begin
  -- The user's server may have it off; what was accepted must survive a crash.
  perform set_config('synchronous_commit', 'on', true);
  if coalesce(cardinality(schedule.recipients), 0) = 0 then
    perform notify.refuse('NT001', 'recipients', 'recipients must not be empty');
  elsif cardinality(schedule.recipients) > 100000 then
    perform notify.refuse('NT003', 'recipients', 'recipients has more than 100000 entries');
  elsif array_ndims(schedule.recipients) > 1 then
    perform notify.refuse('NT001', 'recipients', 'recipients must be a plain list');
  elsif array_position(schedule.recipients, null) is not null then
    perform notify.refuse('NT001', 'recipients', 'recipients must not contain null');
  elsif schedule.unknown_recipients is null or schedule.unknown_recipients not in ('skip', 'create', 'reject') then
    perform notify.refuse('NT001', 'unknown_recipients', 'unknown_recipients must be one of skip, create, reject');
  end if;
  if schedule.idempotency_key is null then
    return query
    select a.recipient, a.notification_id, a.batch_id, false
    from notify.accept(schedule.recipients, schedule.title, schedule.message, schedule.scheduled_at, schedule.type,
      schedule.priority, schedule.data, schedule.channels, schedule.reference, schedule.expires_at, schedule.unknown_recipients,
      schedule.options) a;
    return;
  end if;
  v_hash := sha256(convert_to((jsonb_build_array(schedule.recipients, schedule.title, schedule.message,
    extract(epoch from schedule.scheduled_at), schedule.type, schedule.priority, schedule.data, schedule.channels, schedule.reference,
    extract(epoch from schedule.expires_at), schedule.unknown_recipients)
    -- Without options as before there were any: a call may be repeated to a newer version.
    || case when schedule.options is null then '[]' else jsonb_build_array(schedule.options) end)::text, 'UTF8'));
  v_answer := notify.idempotency_begin(v_owner, schedule.idempotency_key, v_hash);
  if v_answer is null then
    select coalesce(jsonb_agg(jsonb_build_array(a.recipient, a.notification_id, a.batch_id)), '[]') into v_answer
    from notify.accept(schedule.recipients, schedule.title, schedule.message, schedule.scheduled_at, schedule.type,
      schedule.priority, schedule.data, schedule.channels, schedule.reference, schedule.expires_at, schedule.unknown_recipients,
      schedule.options) a;
    perform notify.idempotency_finish(v_owner, schedule.idempotency_key, v_hash, v_answer);
    return query select e ->> 0, (e ->> 1)::bigint, (e ->> 2)::bigint, false from jsonb_array_elements(v_answer) as e;
  else
    return query select e ->> 0, (e ->> 1)::bigint, (e ->> 2)::bigint, true from jsonb_array_elements(v_answer) as e;
  end if;
end
$$;
comment on function notify.schedule(text[], text, text, timestamptz, text, text, jsonb, text[], text, text, timestamptz, text, jsonb) is
  'Schedules one notification for each recipient, in the caller''s transaction. scheduled_at: null means now. Returns a row a recipient, in their order; notification_id is null where the recipient is unknown and was skipped. options: retry (the policy of its deliveries), spread_over (minutes over which its notifications are spread). replayed: the answer of an earlier call under the same idempotency_key.';

-- Of earlier versions; dropped here, when nothing calls them any more.
drop function if exists
  notify.store(notify.batch[], integer[], text[]),
  notify.accept(text[], text, text, timestamptz, text, text, jsonb, text[], text, timestamptz, text),
  notify.schedule(text[], text, text, timestamptz, text, text, jsonb, text[], text, text, timestamptz, text);
