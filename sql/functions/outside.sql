create or replace function notify.check_retry(p_retry jsonb) returns void
language plpgsql immutable as $$
declare
  v_number constant text := '^[0-9]+(\.[0-9]+)?$';
begin
  if p_retry is null then
    return;
  elsif jsonb_typeof(p_retry) <> 'object' or p_retry - '{delays,jitter,max_age,final}'::text[] <> '{}' then
    perform notify.refuse('NT001', 'retry', 'retry must be an object of delays, jitter, max_age and final');
  end if;
  if p_retry ? 'delays' and (jsonb_typeof(p_retry -> 'delays') <> 'array' or jsonb_array_length(p_retry -> 'delays') > 20
      or exists (select from jsonb_array_elements(p_retry -> 'delays') as d
                 where jsonb_typeof(d) <> 'number' or (d #>> '{}')::numeric not between 0 and 604800)) then
    perform notify.refuse('NT001', 'retry.delays', 'retry.delays must be at most 20 numbers of seconds from 0 to 604800');
  elsif p_retry ? 'jitter' and (jsonb_typeof(p_retry -> 'jitter') <> 'number' or (p_retry ->> 'jitter')::numeric not between 0 and 1) then
    perform notify.refuse('NT001', 'retry.jitter', 'retry.jitter must be a number from 0 to 1, a part of each delay');
  elsif p_retry ? 'max_age' and (jsonb_typeof(p_retry -> 'max_age') <> 'number' or (p_retry ->> 'max_age')::numeric not between 1 and 2592000) then
    perform notify.refuse('NT001', 'retry.max_age', 'retry.max_age must be a number of seconds from 1 to 2592000');
  elsif p_retry ? 'final' and (jsonb_typeof(p_retry -> 'final') <> 'array' or jsonb_array_length(p_retry -> 'final') > 50
      or exists (select from jsonb_array_elements(p_retry -> 'final') as f
                 where jsonb_typeof(f) <> 'string' or f #>> '{}' !~ '^[a-z0-9-]{1,64}$')) then
    perform notify.refuse('NT001', 'retry.final', 'retry.final must be at most 50 error codes such as http-404 or http-4xx');
  end if;
end
$$;
comment on function notify.check_retry(jsonb) is 'Refuses what is no part of a retry policy. Null is none.';

create or replace function notify.is_opted_out(p_preferences jsonb, p_channel text, p_type text) returns boolean
language sql immutable as $$
  select exists (
    select from jsonb_array_elements(case jsonb_typeof(p_preferences -> 'opt_out') when 'array' then p_preferences -> 'opt_out' else '[]' end) as o
    where jsonb_typeof(o) = 'object' and (o ? 'channel' or o ? 'type')
      and coalesce(o ->> 'channel', p_channel) = p_channel and coalesce(o ->> 'type', p_type) = p_type
  )
$$;
comment on function notify.is_opted_out(jsonb, text, text) is
  'Whether preferences have an opt_out for this channel, this type, or both together.';

create or replace function notify.quiet_until(p_preferences jsonb, p_time_zone text, p_now timestamptz) returns timestamptz
language plpgsql stable as $$
declare
  v_zone text := coalesce(p_time_zone, 'UTC');
  v_from time;
  v_to time;
  v_local timestamp;
  v_end timestamp;
begin
  if jsonb_typeof(p_preferences -> 'quiet_hours') is distinct from 'object' then
    return null;
  end if;
  v_from := p_preferences #>> '{quiet_hours,from}';
  v_to := p_preferences #>> '{quiet_hours,to}';
  v_local := p_now at time zone v_zone;
  if v_from < v_to and v_local::time >= v_from and v_local::time < v_to then
    v_end := v_local::date + v_to;
  elsif v_from > v_to and v_local::time >= v_from then
    v_end := v_local::date + 1 + v_to;
  elsif v_from > v_to and v_local::time < v_to then
    v_end := v_local::date + v_to;
  end if;
  -- Where clocks are put back, the local end may name an instant that is over.
  return case when v_end at time zone v_zone > p_now then v_end at time zone v_zone
    when v_end is not null then p_now + interval '1 minute' end;
exception when data_exception then
  -- Stored before quiet hours were checked, or a zone that the server no longer knows.
  return null;
end
$$;
comment on function notify.quiet_until(jsonb, text, timestamptz) is
  'When the recipient''s quiet hours end, if it is in them at this instant, in its time zone; else null.';

create or replace function notify.localized(p_contents jsonb, p_locale text) returns jsonb
language plpgsql immutable as $$
declare
  v_tag text := lower(replace(p_locale, '_', '-'));
  v_found jsonb;
begin
  while v_tag <> '' loop
    select l.value into v_found from jsonb_each(p_contents -> 'locales') as l where lower(replace(l.key, '_', '-')) = v_tag;
    exit when found;
    v_tag := case when v_tag ~ '-' then regexp_replace(v_tag, '-[^-]*$', '') else '' end;
  end loop;
  return coalesce(v_found, p_contents -> 'locales' -> (p_contents ->> 'default_locale'));
end
$$;
comment on function notify.localized(jsonb, text) is
  'The title, message and html for a locale: its own, else that of its shorter tags (de-AT: de), else the default''s.';

create or replace function notify.conclude(p_notifications bigint[]) returns void
language sql as $$
  update notify.notification n
  set status = case when o.dead then 'failed' else 'cancelled' end::notify.status,
    failed_at = case when o.dead then notify.now() end,
    failure_reason = case when o.dead then left(o.reasons, 1000) end,
    cancelled_at = case when not o.dead then notify.now() end,
    cancel_reason = case when not o.dead then case when o.expired then 'expired' else 'preferences' end end
  from (
    -- Without an address on one of several channels nothing is amiss; without any it is as dead as if all had failed.
    select d.notification_id, bool_or(d.status = 'failed' or d.code = 'no-address') as dead, bool_or(d.code = 'expired') as expired,
      bool_or(d.status in ('pending', 'leased', 'sent')) as alive,
      string_agg(d.channel || ': ' || coalesce(d.error, d.code), '; ' order by d.id)
        filter (where d.status = 'failed' or d.code = 'no-address') as reasons
    from notify.delivery d where d.notification_id = any (p_notifications) group by d.notification_id
  ) o
  where n.id = o.notification_id and n.status = 'sending' and not o.alive
$$;
comment on function notify.conclude(bigint[]) is
  'Ends those of these notifications, locked by the caller, of which no delivery is left that got through or may: failed, or cancelled where it expired or was not wanted.';

create or replace function notify.close_deliveries(p_ids bigint[], p_status notify.delivery_status, p_code text, p_error text) returns void
language plpgsql as $$
declare
  v_notifications bigint[];
begin
  if p_ids is null then
    return;
  end if;
  -- The caller holds the deliveries, and whoever deletes notifications wants both the other way round: so nothing is
  -- waited for. What is locked is found again.
  v_notifications := array(
    select n.id from notify.notification n
    where n.id in (select d.notification_id from notify.delivery d where d.id = any (p_ids))
    order by n.id for no key update skip locked
  );
  update notify.delivery d
  set status = p_status, failed_at = case when p_status = 'failed' then notify.now() end, code = p_code, error = p_error
  where d.id = any (p_ids) and d.status = 'pending' and d.notification_id = any (v_notifications);
  perform notify.conclude(v_notifications);
end
$$;
comment on function notify.close_deliveries(bigint[], notify.delivery_status, text, text) is
  'Ends deliveries that are not even tried, as failed or cancelled, and what hangs on them; not those whose notification is locked.';

create or replace function notify.admit_deliveries(p_channel text, p_max integer) returns integer
language plpgsql as $$
declare
  v_now timestamptz := notify.now();
  v_channel notify.channel;
  v_state notify.channel_state;
begin
  select c.* into v_channel from notify.channel c where c.name = p_channel;
  if not found or v_channel.paused_at is not null then
    return 0;
  end if;
  select s.* into v_state from notify.channel_state s where s.channel = p_channel;
  if v_state.rests = 0 and v_channel.rate is null then
    return p_max;
  end if;
  -- Locked only here: others may count or try at the same time.
  select s.* into v_state from notify.channel_state s where s.channel = p_channel for no key update;
  if v_state.rests > 0 then
    if v_state.rests_until > v_now or v_state.tried_until > v_now then
      return 0;
    end if;
    p_max := 1;
  end if;
  if v_channel.rate is not null then
    -- A second's worth at most is saved up. A clock that was put back takes nothing away.
    v_state.tokens := least(greatest(v_channel.rate, 1),
      greatest(v_state.tokens, 0) + v_channel.rate * greatest(coalesce(extract(epoch from v_now - v_state.filled_at), 1), 0));
    update notify.channel_state s set tokens = v_state.tokens, filled_at = v_now where s.channel = p_channel;
    p_max := least(p_max, floor(v_state.tokens)::integer);
  end if;
  return p_max;
end
$$;
comment on function notify.admit_deliveries(text, integer) is
  'How many deliveries a channel may be given now: none while it is paused or rests, one where it is to be tried again, and no more than its rate allows.';

create or replace function notify.take_deliveries(p_channel text, p_max integer) returns bigint[]
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
  v_now timestamptz := notify.now();
  v_priority notify.priority;
  v_ids bigint[] := '{}';
begin
  if exists (select from notify.channel_state s where s.channel = p_channel and s.rests > 0) then
    -- Those in front may all be at one place that is dead, while the others would get through: so any that waits at either end is tried.
    v_ids := array(
      select f.id from unnest(enum_range(null::notify.priority)) as p (priority)
      cross join lateral (
        (select d.id from notify.delivery d
          where d.status = 'pending' and d.held is null and d.channel = p_channel and d.priority = p.priority and d.due_at <= v_now
          order by d.due_at, d.id limit 250)
        union
        (select d.id from notify.delivery d
          where d.status = 'pending' and d.held is null and d.channel = p_channel and d.priority = p.priority and d.due_at <= v_now
          order by d.due_at desc, d.id desc limit 250)
      ) as f
      order by random() limit p_max
    );
    return array(
      select d.id from notify.delivery d where d.id = any (v_ids) and d.status = 'pending' and d.held is null and d.due_at <= v_now
      for no key update skip locked
    );
  end if;
  foreach v_priority in array array['urgent', 'high', 'normal', 'low']::notify.priority[] loop
    exit when cardinality(v_ids) >= p_max;
    v_ids := v_ids || array(
      select d.id from notify.delivery d
      where d.status = 'pending' and d.held is null and d.channel = p_channel and d.priority = v_priority and d.due_at <= v_now
      order by d.due_at, d.id limit p_max - cardinality(v_ids)
      for no key update skip locked
    );
  end loop;
  return v_ids;
end
$$;
comment on function notify.take_deliveries(text, integer) is
  'Locks up to p_max due deliveries of a channel that nobody else has locked, urgent first, and returns their ids; of a channel that rests, and is tried again, any of those that are due first or last.';

create or replace function notify.judge_deliveries(p_channel text, p_ids bigint[], p_now timestamptz) returns table (
  place bigint, id bigint, verdict text, until timestamptz, delivery notify.delivery, notification notify.notification,
  batch notify.batch, recipient notify.recipient, required boolean, retry jsonb
)
-- Inlined where it is used, and planned there.
language sql stable as $$
  select g.place, d.id, case
      when n.status in ('pending', 'cancelled') then 'void'
      when b.expires_at <= p_now then 'expired'
      when t.paused_at is not null then 'paused'
      when r.preferences ? 'opt_out' and n.priority <> 'urgent' and not coalesce(t.required, false)
        and notify.is_opted_out(r.preferences, p_channel, b.type) then 'unwanted'
      when coalesce(r.addresses -> p_channel, 'null') = 'null' then 'unreachable'
      when e.disabled_at is not null then 'disabled'
      when e.rests_until > p_now or n.priority <> 'urgent' and q.quiet_until is not null then 'later'
      else 'now' end,
    greatest(e.rests_until, case when n.priority <> 'urgent' then q.quiet_until end), d, n, b, r, coalesce(t.required, false), t.retry
  from unnest(p_ids) with ordinality as g (id, place)
  join notify.delivery d on d.id = g.id
  join notify.notification n on n.id = d.notification_id
  join notify.batch b on b.id = n.batch_id
  join notify.recipient r on r.id = n.recipient
  left join notify.type t on t.name = b.type
  left join notify.endpoint e on e.recipient = n.recipient and e.channel = p_channel
    and e.address_hash = md5((r.addresses -> p_channel)::text)
  cross join lateral (
    select case when r.preferences ? 'quiet_hours' then notify.quiet_until(r.preferences, r.time_zone, p_now) end as quiet_until
  ) q
$$;
comment on function notify.judge_deliveries(text, bigint[], timestamptz) is
  'What is to be done with these deliveries now: send it (now), put it off until a time (later), hold it (paused), or end it: void (its notification was cancelled, or goes through the drain again), expired, unwanted, unreachable, disabled; and all that is needed to send it.';

create or replace function notify.put_away(p_channel text, p_ids bigint[], p_now timestamptz) returns integer
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_sorted record;
begin
  with judged as materialized (
    select j.id, j.verdict, j.until, (j.batch).type as type from notify.judge_deliveries(p_channel, p_ids, p_now) j
  ),
  put_off as (
    update notify.delivery d set due_at = j.until from judged j where d.id = j.id and d.status = 'pending' and j.verdict = 'later'
  ),
  held as (
    update notify.delivery d set held = j.type from judged j where d.id = j.id and d.status = 'pending' and j.verdict = 'paused'
  )
  select array_agg(j.id) filter (where j.verdict = 'expired') as expired, array_agg(j.id) filter (where j.verdict = 'unwanted') as unwanted,
    array_agg(j.id) filter (where j.verdict = 'unreachable') as unreachable, array_agg(j.id) filter (where j.verdict = 'disabled') as disabled,
    array_agg(j.id) filter (where j.verdict = 'void') as void
  into v_sorted from judged j;
  perform notify.close_deliveries(v_sorted.expired, 'cancelled', 'expired', 'its time was over before it could be sent');
  perform notify.close_deliveries(v_sorted.unwanted, 'cancelled', 'opted-out', 'the recipient does not want it');
  perform notify.close_deliveries(v_sorted.unreachable, 'cancelled', 'no-address', format('the recipient has no address for %s', p_channel));
  perform notify.close_deliveries(v_sorted.void, 'cancelled', 'void', 'its notification was cancelled, or is to be sent anew');
  perform notify.close_deliveries(v_sorted.disabled, 'failed', 'disabled', 'the address was disabled, as it failed for too long or asked for it');
  return (select count(*) from notify.delivery d where d.id = any (p_ids) and (d.status <> 'pending' or d.held is not null or d.due_at > p_now));
end
$$;
comment on function notify.put_away(text, bigint[], timestamptz) is
  'Of these deliveries, which the caller has locked, puts off, holds or ends those that are not to be sent now. Returns how many of them are due no more.';

create or replace function notify.lease_deliveries(p_channel text, p_max integer, p_seconds double precision)
returns table (
  id bigint, token uuid, attempts integer, tries integer, age double precision, notification_id bigint, batch_id bigint,
  recipient text, address jsonb, address_hash text, locale text, time_zone text, type text, priority text, title text, message text,
  html text, data jsonb, reference text, scheduled_at timestamptz, required boolean, retry jsonb
)
-- Every step is a walk along a key, however few rows the planner believes there to be; and planning takes longer than running for
-- a few.
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_now timestamptz := notify.now();
  v_max integer := notify.admit_deliveries(p_channel, p_max);
  v_policy jsonb := (select coalesce(c.retry, '{}') from notify.channel c where c.name = p_channel);
  v_wanted integer;
  v_ids bigint[];
  v_token uuid := gen_random_uuid();
  v_count integer;
  v_leased integer := 0;
begin
  perform set_config('synchronous_commit', 'on', true);
  -- What is not to be sent now is put away; so that this is not all that is found, it looks again, but not for ever.
  for v_round in 1..20 loop
    v_wanted := v_max - v_leased;
    exit when v_wanted <= 0;
    v_ids := notify.take_deliveries(p_channel, case when v_round = 1 then v_wanted else greatest(v_wanted, 1000) end);
    exit when v_ids = '{}';
    -- All is asked now, not when it was scheduled: what the recipient wants, and where it is to be reached.
    return query
    with chosen as materialized (
      select j.* from notify.judge_deliveries(p_channel, v_ids, v_now) j where j.verdict = 'now' order by j.place limit v_wanted
    ),
    taken as (
      update notify.delivery d set status = 'leased', lease_token = v_token, leased_until = v_now + make_interval(secs => p_seconds)
      from chosen c where d.id = c.id
    )
    select c.id, v_token, (c.delivery).attempts, (c.delivery).attempts - (c.delivery).retries_from,
      coalesce(extract(epoch from v_now - (c.delivery).since), 0)::double precision,
      (c.notification).id, (c.batch).id, (c.recipient).id, (c.recipient).addresses -> p_channel,
      md5(((c.recipient).addresses -> p_channel)::text), (c.recipient).locale, (c.recipient).time_zone, (c.batch).type,
      (c.notification).priority::text, coalesce(w.words ->> 'title', (c.batch).title), coalesce(w.words ->> 'message', (c.batch).message),
      w.words ->> 'html', (c.batch).data, (c.batch).reference, (c.notification).due_at, c.required,
      v_policy || coalesce(c.retry, '{}') || coalesce(o.retry, '{}')
    from chosen c
    left join notify.batch_option o on o.batch_id = (c.batch).id
    cross join lateral (select case when o.contents is not null then notify.localized(o.contents, (c.recipient).locale) end as words) w
    order by c.place;
    get diagnostics v_count = row_count;
    v_leased := v_leased + v_count;
    if v_count < cardinality(v_ids) then
      -- Those whose notification is locked are found again by a later look.
      exit when notify.put_away(p_channel, v_ids, v_now) = 0;
    end if;
  end loop;
  if v_leased > 0 then
    update notify.channel_state s
    set tokens = case when c.rate is not null then s.tokens - v_leased else s.tokens end,
      tried_until = case when s.rests > 0 then v_now + make_interval(secs => p_seconds) end
    from notify.channel c
    where s.channel = p_channel and c.name = p_channel and (c.rate is not null or s.rests > 0);
  end if;
end
$$;
comment on function notify.lease_deliveries(text, integer, double precision) is
  'Leases up to p_max due deliveries of a channel for so many seconds, and returns what is to be sent: attempts before this one, tries of them since the last replay, seconds since the first try, content in the recipient''s locale, and the retry policy of channel, type and batch together. Puts off what is in quiet hours or whose address rests, holds what is of a paused type, and ends what has expired, is not wanted or cannot be reached.';

create or replace function notify.rest_channel(p_channel text, p_outages integer, p_answers integer, p_threshold integer, p_seconds double precision)
returns void
language plpgsql as $$
declare
  v_now timestamptz := notify.now();
begin
  if p_answers > 0 then
    update notify.channel_state c set failures = 0, rests = 0, rests_until = null, tried_until = null
    where c.channel = p_channel and (c.failures > 0 or c.rests > 0);
  elsif p_outages > 0 then
    -- Those that were under way when it was put to rest count no more; the one that tries it again does.
    update notify.channel_state c
    set failures = case when s.resting then 0 else c.failures + p_outages end,
      rests = case when s.resting then c.rests + 1 else c.rests end,
      rests_until = case when s.resting then v_now + make_interval(secs => least(300, p_seconds * 2 ^ least(c.rests, 20))) end,
      tried_until = null
    from (
      select k.channel, k.rests > 0 or k.failures + p_outages >= p_threshold as resting
      from notify.channel_state k where k.channel = p_channel for no key update
    ) s
    where c.channel = s.channel and (c.rests = 0 or c.rests_until <= v_now);
  end if;
end
$$;
comment on function notify.rest_channel(text, integer, integer, integer, double precision) is
  'The circuit breaker: p_threshold outages in a row put a channel to rest for p_seconds, twice as long each time that trying it again fails, 5 minutes at most; any answer of its provider ends that.';

create or replace function notify.note_endpoints(
  p_channel text, p_recipients text[], p_hashes text[], p_kinds text[], p_rests double precision[], p_disable boolean[],
  p_reasons text[], p_most_days double precision
) returns text[]
language plpgsql as $$
declare
  v_now timestamptz := notify.now();
  v_disabled text[];
begin
  -- In recipient order, as two of these may meet.
  perform from notify.endpoint e where e.recipient = any (p_recipients) and e.channel = p_channel order by e.recipient for no key update;
  delete from notify.endpoint e using unnest(p_recipients, p_hashes, p_kinds) as g (recipient, hash, kind)
  where e.recipient = g.recipient and e.channel = p_channel and g.kind = 'sent' and e.address_hash = g.hash and e.disabled_at is null;
  with failed as (
    -- One row each, as several deliveries of one recipient may end together.
    select g.recipient, min(g.hash) as hash, count(*)::integer as many, max(g.rest) as rest, bool_or(g.disable) as disable, max(g.reason) as reason
    from unnest(p_recipients, p_hashes, p_kinds, p_rests, p_disable, p_reasons) as g (recipient, hash, kind, rest, disable, reason)
    where g.kind <> 'sent' and g.recipient not in (select s.recipient from unnest(p_recipients, p_kinds) as s (recipient, kind) where s.kind = 'sent')
    group by g.recipient order by g.recipient
  ),
  noted as (
    insert into notify.endpoint as e
      (recipient, channel, address_hash, failures, failing_since, failed_at, rests_until, disabled_at, disabled_reason)
    select f.recipient, p_channel, f.hash, f.many, v_now, v_now, v_now + make_interval(secs => f.rest),
      case when f.disable then v_now end, case when f.disable then f.reason end
    from failed f join notify.recipient r on r.id = f.recipient
    on conflict (recipient, channel) do update
    set address_hash = excluded.address_hash,
      failures = case when e.address_hash = excluded.address_hash then e.failures else 0 end + excluded.failures,
      -- Two days in which nothing was tried say nothing.
      failing_since = case when e.address_hash = excluded.address_hash and e.failed_at > v_now - interval '2 days'
        then e.failing_since else excluded.failing_since end,
      failed_at = excluded.failed_at,
      rests_until = coalesce(excluded.rests_until, case when e.address_hash = excluded.address_hash and e.failures > 0
        then v_now + make_interval(secs => least(60, 2 ^ least(e.failures, 20))) end),
      disabled_at = case when e.address_hash = excluded.address_hash and e.disabled_at is not null then e.disabled_at
        when excluded.disabled_at is not null
          or e.address_hash = excluded.address_hash and e.failing_since < v_now - make_interval(secs => p_most_days * 86400)
          and e.failed_at > v_now - interval '2 days' then v_now end,
      disabled_reason = case when e.address_hash = excluded.address_hash and e.disabled_at is not null then e.disabled_reason
        when excluded.disabled_at is not null then excluded.disabled_reason
        when e.address_hash = excluded.address_hash and e.failing_since < v_now - make_interval(secs => p_most_days * 86400)
          and e.failed_at > v_now - interval '2 days'
          then format('nothing got through for %s days', p_most_days) end
    returning e.recipient, e.disabled_at
  )
  select coalesce(array_agg(n.recipient order by n.recipient), '{}') into v_disabled from noted n where n.disabled_at = v_now;
  return v_disabled;
end
$$;
comment on function notify.note_endpoints(text, text[], text[], text[], double precision[], boolean[], text[], double precision) is
  'Keeps which addresses fail: one that does rests for as long as it asked, or for 2, 4, … 60 seconds; one that is to be disabled, or of which nothing got through for p_most_days, is. Returns whose were disabled now.';

create or replace function notify.record_attempts(
  p_channel text, p_ids bigint[], p_tokens uuid[], p_kinds text[], p_codes text[], p_details text[], p_seconds double precision[],
  p_delays double precision[], p_rests double precision[], p_disable boolean[], p_outages boolean[], p_hashes text[],
  p_most_days double precision, p_threshold integer, p_breaker_seconds double precision,
  out recorded integer, out disabled text[], out locked bigint[], out stopped boolean
) language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
declare
  v_now timestamptz := notify.now();
  v_resting boolean := p_outages is not null
    and exists (select from notify.channel_state s where s.channel = p_channel and s.rests > 0);
  v_open bigint[];
  v_given record;
begin
  perform set_config('synchronous_commit', 'on', true);
  -- Notifications before what hangs on them, in id order, as by every writer. A caller may hold one for an hour: that must
  -- not keep the others from being recorded.
  v_open := array(
    select n.id from notify.notification n
    where n.id in (select d.notification_id from notify.delivery d where d.id = any (p_ids)) order by n.id for no key update skip locked
  );
  locked := array(
    select d.id from unnest(p_ids, p_tokens) as g (id, token) join notify.delivery d on d.id = g.id and d.lease_token = g.token
    where d.notification_id <> all (v_open)
  );
  with given as materialized (
    select g.id, g.kind, g.code, g.detail, g.seconds, g.delay, g.rest, coalesce(g.disable, false) as disable, o.outage, g.hash,
      -- Neither an outage nor what was given up before it was sent (no hash) says anything of an address.
      not o.outage and g.hash is not null as told, o.answered and g.hash is not null as answered,
      d.notification_id, d.attempts + 1 as number, n.recipient
    from unnest(p_ids, p_tokens, p_kinds, p_codes, p_details, p_seconds, p_delays, p_rests, p_disable, p_outages, p_hashes)
      as g (id, token, kind, code, detail, seconds, delay, rest, disable, outage, hash)
    -- That nobody answered is no answer, and an outage only where the channel rests: another worker knows more than who tried it again.
    cross join lateral (
      select p_outages is not null and coalesce(g.outage, v_resting) as outage, p_outages is null or not g.outage as answered
    ) o
    -- Whoever was too slow for its lease has no say any more.
    join notify.delivery d on d.id = g.id and d.lease_token = g.token
    join notify.notification n on n.id = d.notification_id
    where g.id <> all (locked)
    order by d.id for no key update of d
  ),
  noted as (
    insert into notify.attempt (delivery_id, number, started_at, finished_at, outcome, code, detail)
    select g.id, g.number, v_now - make_interval(secs => g.seconds), v_now, g.kind, g.code, g.detail from given g
  ),
  moved as (
    update notify.delivery d
    set status = case g.kind when 'retry' then 'pending' else g.kind end::notify.delivery_status, attempts = g.number,
      -- What met a channel that is down was no try; its age ends it all the same.
      retries_from = d.retries_from + g.outage::integer, since = coalesce(d.since, v_now - make_interval(secs => g.seconds)),
      lease_token = null, leased_until = null, due_at = case g.kind when 'retry' then v_now + make_interval(secs => g.delay) else d.due_at end,
      sent_at = case g.kind when 'sent' then v_now end, failed_at = case g.kind when 'failed' then v_now end,
      code = g.code, error = case when g.kind <> 'sent' then g.detail end
    from given g where d.id = g.id
  )
  select count(*) as many, array_agg(g.notification_id) filter (where g.kind = 'sent') as sent,
    array_agg(g.notification_id) filter (where g.kind = 'failed') as failed,
    array_agg(g.recipient) filter (where g.told) as recipients, array_agg(g.hash) filter (where g.told) as hashes,
    array_agg(g.kind) filter (where g.told) as kinds, array_agg(g.rest) filter (where g.told) as rests,
    array_agg(g.disable) filter (where g.told) as disable, array_agg(coalesce(g.detail, g.code)) filter (where g.told) as reasons,
    count(*) filter (where g.outage) as outages, count(*) filter (where g.answered) as answers, bool_or(g.kind <> 'sent' and g.told) as some_failed
  into v_given from given g;
  recorded := v_given.many;
  disabled := '{}';
  if v_given.sent is not null then
    update notify.notification n set status = 'sent', sent_at = v_now where n.id = any (v_given.sent) and n.status = 'sending';
  end if;
  if v_given.failed is not null then
    perform notify.conclude(v_given.failed);
  end if;
  perform notify.rest_channel(p_channel, v_given.outages::integer, v_given.answers::integer, p_threshold, p_breaker_seconds);
  if v_given.some_failed or exists (
      select from notify.endpoint e where e.channel = p_channel and e.recipient = any (v_given.recipients)) then
    disabled := notify.note_endpoints(p_channel, v_given.recipients, v_given.hashes, v_given.kinds, v_given.rests, v_given.disable,
      v_given.reasons, p_most_days);
  end if;
  -- Whoever has taken more gives it back.
  stopped := exists (
    select from notify.channel c join notify.channel_state s on s.channel = c.name
    where c.name = p_channel and (c.paused_at is not null or s.rests > 0)
  );
end
$$;
comment on function notify.record_attempts(text, bigint[], uuid[], text[], text[], text[], double precision[], double precision[], double precision[], boolean[], boolean[], text[], double precision, integer, double precision) is
  'Records attempts where their lease still holds, and what follows: sent, due again after its delay, or failed; the notification''s status; which addresses fail; and whether the channel itself does. p_seconds: how long each took. p_outages: null in it is an attempt that nobody answered; none at all: all were answered. p_hashes: of the address that was tried, null where none was. Returns how many were recorded, whose addresses were disabled, which could not be recorded now as their notification is locked, and whether the channel is paused or rests (stopped).';

create or replace function notify.release_deliveries(p_ids bigint[], p_tokens uuid[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := notify.now();
  v_count integer;
begin
  -- Due from now on, as tickers look for nothing below their marks.
  update notify.delivery d set status = 'pending', lease_token = null, leased_until = null, due_at = v_now
  from unnest(p_ids, p_tokens) as g (id, token) where d.id = g.id and d.lease_token = g.token;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function notify.release_deliveries(bigint[], uuid[]) is
  'Gives back deliveries that were leased and not tried; they are due now.';

create or replace function notify.rescue_deliveries(p_max integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := notify.now();
  v_count integer;
begin
  with lost as materialized (
    select d.id, d.attempts + 1 as number, d.leased_until from notify.delivery d
    where d.status = 'leased' and d.leased_until < v_now
    order by d.leased_until limit p_max for no key update skip locked
  ),
  -- It may have been sent, so it counts: one that kills every worker must not be tried for ever.
  noted as (
    insert into notify.attempt (delivery_id, number, started_at, finished_at, outcome, code, detail)
    select l.id, l.number, l.leased_until, v_now, 'retry', 'lease-lost', 'the worker that took it never told what came of it' from lost l
  )
  update notify.delivery d
  set status = 'pending', lease_token = null, leased_until = null, due_at = v_now, attempts = l.number, code = 'lease-lost',
    error = 'the worker that took it never told what came of it'
  from lost l where d.id = l.id;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function notify.rescue_deliveries(integer) is
  'Makes up to p_max deliveries whose lease has run out pending again, with an attempt of unknown end. Their old worker''s token no longer holds.';

-- In PL/pgSQL, as that keeps its plan: every empty look of a ticker asks this.
create or replace function notify.next_deliveries(p_due_from timestamptz default '-infinity') returns table (channel text, due_in double precision)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_column
begin
  return query
  select c.name, extract(epoch from greatest(min(d.due_at), s.rests_until, s.tried_until,
    case when s.tokens < 1 then s.filled_at + make_interval(secs => (1 - s.tokens) / c.rate) end) - notify.now())::double precision
  from notify.channel c
  join notify.channel_state s on s.channel = c.name
  cross join unnest(enum_range(null::notify.priority)) as p (priority)
  cross join lateral (
    select f.due_at from notify.delivery f
    where f.status = 'pending' and f.held is null and f.channel = c.name and f.priority = p.priority and f.due_at >= p_due_from
    order by f.due_at limit 1
  ) as d
  where c.paused_at is null and c.name <> 'inbox'
  group by c.name, s.channel;
end
$$;
comment on function notify.next_deliveries(timestamptz) is
  'In how many seconds each channel may next have something to send, negative if it has now; channels that are paused or have nothing due from p_due_from on are left out. Under a long snapshot the entries of what was sent stay in the index, so a ticker asks from its low-water mark on.';

create or replace function notify.release_held(p_max integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_type text := '';
  v_many integer;
  v_count integer := 0;
begin
  loop
    select min(d.held) into v_type from notify.delivery d where d.held > v_type;
    exit when v_type is null or v_count >= p_max;
    continue when exists (select from notify.type t where t.name = v_type and t.paused_at is not null);
    update notify.delivery d set held = null, due_at = greatest(d.due_at, notify.now())
    where d.id = any (array(select h.id from notify.delivery h where h.held = v_type order by h.id limit p_max - v_count for no key update skip locked));
    get diagnostics v_many = row_count;
    v_count := v_count + v_many;
  end loop;
  return v_count;
end
$$;
comment on function notify.release_held(integer) is
  'Lets up to p_max deliveries go that are held although their type is paused no more.';

create or replace function notify.plan_deliveries() returns integer
language plpgsql security definer set search_path = notify_jobs, pg_catalog, pg_temp as $$
declare
  v_now timestamptz := notify.now();
  v_at timestamptz;
  v_planned integer := 0;
begin
  for v_at in
    select distinct date_bin('1 second', v_now + make_interval(secs => n.due_in) + interval '999999 microseconds', timestamptz 'epoch')
    from notify.next_deliveries() n where n.due_in between 0 and 60
  loop
    continue when exists (select from notify_jobs.procrastinate_jobs j where j.queue_name = 'notify_dispatch' and j.status = 'todo'
      and j.task_name = 'notify.deliver' and (j.args ->> 'second')::timestamptz = v_at);
    perform procrastinate_defer_jobs_v1(array[row(
      'notify_dispatch', 'notify.deliver', 0, null, null, jsonb_build_object('second', v_at), clock_timestamp() + (v_at - v_now)
    )::procrastinate_job_to_defer_v1]);
    v_planned := v_planned + 1;
  end loop;
  return v_planned;
end
$$;
comment on function notify.plan_deliveries() is
  'Sets the second alarm clock of deliveries: a deliver job for the instant of the coming minute at which each channel has its next. Returns how many it set.';

create or replace function notify.register_channels(p_channels jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into notify.channel (name, description)
  select c ->> 'name', c ->> 'description' from jsonb_array_elements(p_channels) as c order by c ->> 'name'
  on conflict (name) do update set description = excluded.description
  where channel.description <> excluded.description and channel.name <> 'inbox';
  insert into notify.channel_state (channel) select c.name from notify.channel c order by c.name on conflict do nothing
$$;
comment on function notify.register_channels(jsonb) is
  'Makes the channels known that a worker serves, an array of {name, description}; until then schedule() refuses them.';

create or replace function notify.installation() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select s.value from notify.secret s where s.name = 'installation');
end
$$;
comment on function notify.installation() is 'What makes the ids that providers see unique in the world.';

create or replace function notify.unsubscribe_key() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select s.value from notify.secret s where s.name = 'unsubscribe_key');
end
$$;
comment on function notify.unsubscribe_key() is 'What signs links to unsubscribe.';

create or replace function notify.replay_deliveries(p_ids bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := notify.now();
  v_open bigint[];
  v_notifications bigint[];
begin
  perform set_config('synchronous_commit', 'on', true);
  -- Not of one that was cancelled meanwhile, nor of one that is about to go through the drain again.
  v_open := array(
    select n.id from notify.notification n
    where n.id in (select d.notification_id from notify.delivery d where d.id = any (p_ids)) and n.status in ('sending', 'sent', 'failed')
    order by n.id for no key update
  );
  with again as (
    update notify.delivery d
    set status = 'pending', due_at = v_now, since = null, failed_at = null, retries_from = d.attempts
    where d.id = any (array(
      select f.id from notify.delivery f
      where f.id = any (p_ids) and f.status = 'failed' and f.notification_id = any (v_open) order by f.id for no key update))
    returning d.notification_id
  )
  select coalesce(array_agg(a.notification_id), '{}') into v_notifications from again a;
  update notify.notification n set status = 'sending', failed_at = null, failure_reason = null
  where n.id = any (v_notifications) and n.status = 'failed';
  return cardinality(v_notifications);
end
$$;
comment on function notify.replay_deliveries(bigint[]) is
  'Makes those of these deliveries that failed due again, with all their retries before them, unless their notification was cancelled or is pending again; returns how many.';

create or replace function notify.replay_failed(
  p_channel text, p_code text, p_batch bigint, p_from timestamptz, p_to timestamptz, p_max integer, out replayed integer, out more boolean
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ids bigint[];
begin
  v_ids := array(
    select d.id from notify.delivery d
    where d.status = 'failed' and (p_channel is null or d.channel = p_channel) and (p_code is null or d.code = p_code)
      and (p_from is null or d.failed_at >= p_from) and (p_to is null or d.failed_at < p_to)
      -- Those that are not replayed must not be found again and again.
      and exists (
        select from notify.notification n
        where n.id = d.notification_id and n.status in ('sending', 'sent', 'failed') and (p_batch is null or n.batch_id = p_batch)
      )
    order by d.id limit p_max
  );
  replayed := notify.replay_deliveries(v_ids);
  more := cardinality(v_ids) = p_max;
end
$$;
comment on function notify.replay_failed(text, text, bigint, timestamptz, timestamptz, integer) is
  'Replays up to p_max failed deliveries of a channel, an error code, a batch, and those that failed from p_from until p_to; null: any. more: there may be others.';

create or replace function notify.set_channel(p_name text, p_changes jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_rate jsonb := p_changes -> 'rate';
begin
  if p_name = 'inbox' then
    perform notify.refuse('NT001', 'channel', 'the inbox can neither be paused nor limited: it is the stored notification itself');
  elsif coalesce(v_rate, 'null') <> 'null' and (jsonb_typeof(v_rate) <> 'number' or (v_rate #>> '{}')::numeric not between 0.001 and 100000) then
    perform notify.refuse('NT001', 'rate', 'rate must be a number of deliveries a second from 0.001 to 100000, or null');
  end if;
  perform notify.check_retry(nullif(p_changes -> 'retry', 'null'));
  update notify.channel c
  set paused_at = case when not p_changes ? 'paused' then c.paused_at
      when (p_changes ->> 'paused')::boolean then coalesce(c.paused_at, notify.now()) end,
    rate = case when p_changes ? 'rate' then (p_changes ->> 'rate')::double precision else c.rate end,
    retry = case when p_changes ? 'retry' then nullif(p_changes -> 'retry', 'null') else c.retry end
  where c.name = p_name;
  return found;
end
$$;
comment on function notify.set_channel(text, jsonb) is
  'Changes what is given of {paused, rate, retry} of a channel; null takes rate and retry back. Returns whether there is such a channel. Waits for nothing but its row.';

create or replace function notify.set_type(p_name text, p_changes jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if coalesce(char_length(p_name), 0) not between 1 and 100 then
    perform notify.refuse('NT001', 'type', 'type must have 1 to 100 characters');
  end if;
  perform notify.check_retry(nullif(p_changes -> 'retry', 'null'));
  insert into notify.type as t (name, required, paused_at, retry)
  values (p_name, coalesce((p_changes ->> 'required')::boolean, false),
    case when (p_changes ->> 'paused')::boolean then notify.now() end, nullif(p_changes -> 'retry', 'null'))
  on conflict (name) do update
  set required = case when p_changes ? 'required' then excluded.required else t.required end,
    paused_at = case when not p_changes ? 'paused' then t.paused_at
      when excluded.paused_at is not null then coalesce(t.paused_at, excluded.paused_at) end,
    retry = case when p_changes ? 'retry' then excluded.retry else t.retry end;
  -- The sweep lets the rest go.
  perform notify.release_held(1000);
end
$$;
comment on function notify.set_type(text, jsonb) is
  'Changes what is given of {required, paused, retry} of a type; null takes retry back.';

create or replace function notify.enable_address(p_recipient text, p_channel text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from notify.endpoint e where e.recipient = p_recipient and e.channel = p_channel;
  return found;
end
$$;
comment on function notify.enable_address(text, text) is
  'Forgets that a recipient''s address failed or was disabled. Returns whether there was anything to forget.';

create or replace function notify.with_opt_outs(p_preferences jsonb, p_more jsonb, p_lifted jsonb) returns jsonb
language plpgsql immutable as $$
declare
  v_given jsonb := case jsonb_typeof(p_preferences -> 'opt_out') when 'array' then p_preferences -> 'opt_out' else '[]' end;
  v_kept jsonb;
  v_own jsonb;
  v_new jsonb;
begin
  select coalesce(jsonb_agg(k.entry order by k.place), '[]') into v_kept from (
    select o as entry, min(place) as place from jsonb_array_elements(v_given || coalesce(p_more, '[]')) with ordinality as g (o, place)
    where o ->> 'by' = 'recipient'
      and not exists (select from jsonb_array_elements(coalesce(nullif(p_lifted, 'null'), '[]')) as l where o @> l)
    group by o
  ) k;
  select coalesce(jsonb_agg(o order by place), '[]') into v_own from jsonb_array_elements(v_given) with ordinality as g (o, place)
  where o ->> 'by' is distinct from 'recipient'
    and not exists (select from jsonb_array_elements(v_kept) as k where k = o || '{"by": "recipient"}');
  if v_own || v_kept = v_given then
    return p_preferences;
  end if;
  v_new := p_preferences || jsonb_build_object('opt_out', v_own || v_kept);
  -- Who has clicked so often wants nothing more on the channel; and the list has its bounds.
  if jsonb_array_length(v_own || v_kept) > 200 or octet_length(v_new::text) > 12000 then
    v_kept := (select coalesce(jsonb_agg(distinct case when k ? 'channel' then k - 'type' else k end), '[]') from jsonb_array_elements(v_kept) as k);
    v_own := (
      select coalesce(jsonb_agg(o order by place), '[]') from jsonb_array_elements(v_own) with ordinality as g (o, place)
      where not exists (select from jsonb_array_elements(v_kept) as k where k ->> 'channel' = o ->> 'channel')
    );
    v_new := p_preferences || jsonb_build_object('opt_out', v_own || v_kept);
  end if;
  return v_new;
end
$$;
comment on function notify.with_opt_outs(jsonb, jsonb, jsonb) is
  'These preferences with what the recipient itself has opted out of: entries with by = recipient, of theirs and of p_more, but for those that hold all that an entry of p_lifted names.';

create or replace function notify.unsubscribe(p_recipient text, p_channel text, p_type text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_preferences jsonb;
  v_new jsonb;
begin
  perform set_config('synchronous_commit', 'on', true);
  select r.preferences into v_preferences from notify.recipient r where r.id = p_recipient for no key update;
  if not found then
    return false;
  end if;
  -- Also where the application says the same already, which it may take back.
  if notify.is_opted_out(jsonb_build_object('opt_out', jsonb_path_query_array(v_preferences, '$.opt_out[*] ? (@.by == "recipient")')),
      p_channel, p_type) then
    return true;
  end if;
  v_new := notify.with_opt_outs(v_preferences,
    jsonb_build_array(jsonb_build_object('channel', p_channel, 'type', p_type, 'by', 'recipient')), null);
  update notify.recipient r set preferences = v_new, updated_at = notify.now() where r.id = p_recipient;
  return true;
end
$$;
comment on function notify.unsubscribe(text, text, text) is
  'Adds to a recipient''s preferences that it wants no more of a type on a channel, by its own hand, which lasts. Returns whether there is such a recipient.';

create or replace function notify.check_opt_out(p_list jsonb, p_keys text[]) returns boolean
language sql immutable as $$
  select coalesce(jsonb_typeof(p_list), 'null') = 'null' or jsonb_typeof(p_list) = 'array' and jsonb_array_length(p_list) <= 200
    and not exists (
      select from jsonb_array_elements(p_list) as o
      where case when jsonb_typeof(o) <> 'object' then true
        else not o ?| '{channel,type}' or o - p_keys <> '{}' or o ->> 'channel' = 'inbox'
          or jsonb_typeof(o -> 'channel') <> 'string' or jsonb_typeof(o -> 'type') <> 'string' or o -> 'by' <> '"recipient"' end
    )
$$;
comment on function notify.check_opt_out(jsonb, text[]) is
  'Whether it is a list of channels, types, or both, with no other keys than these; null is none.';

create or replace function notify.check_preferences(p_preferences jsonb, p_whose text) returns void
language plpgsql immutable as $$
declare
  v_quiet jsonb := coalesce(nullif(p_preferences -> 'quiet_hours', 'null'), '{"from": "22:00", "to": "7:00"}');
  v_time constant text := '^([01]?[0-9]|2[0-3]):[0-5][0-9]$';
begin
  if not notify.check_opt_out(p_preferences -> 'opt_out', '{channel,type,by}') then
    perform notify.refuse('NT001', 'preferences.opt_out', format(
      'preferences.opt_out%s must be at most 200 objects of channel, type or both, as {"channel": "email", "type": "news"}, and "by": "recipient" where that opted out itself; the inbox cannot be opted out of', p_whose));
  elsif not notify.check_opt_out(p_preferences -> 'opt_in', '{channel,type}') then
    perform notify.refuse('NT001', 'preferences.opt_in', format(
      'preferences.opt_in%s must be at most 200 objects of channel, type or both, as {"channel": "email", "type": "news"}', p_whose));
  elsif jsonb_typeof(v_quiet) <> 'object' or v_quiet - '{from,to}'::text[] <> '{}'
      or coalesce(v_quiet ->> 'from', '') !~ v_time or coalesce(v_quiet ->> 'to', '') !~ v_time then
    perform notify.refuse('NT001', 'preferences.quiet_hours', format(
      'preferences.quiet_hours%s must have from and to, local times such as 22:00', p_whose));
  elsif (v_quiet ->> 'from')::time = (v_quiet ->> 'to')::time then
    perform notify.refuse('NT001', 'preferences.quiet_hours', format(
      'preferences.quiet_hours%s: from and to must differ; null means none', p_whose));
  end if;
end
$$;
comment on function notify.check_preferences(jsonb, text) is
  'Refuses opt_out, opt_in and quiet_hours of preferences that cannot be understood; all else in them is the application''s own.';
