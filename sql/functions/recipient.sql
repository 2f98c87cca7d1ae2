create or replace function notify.check_size(p_id text, p_addresses jsonb, p_preferences jsonb) returns void
language plpgsql immutable as $$
declare
  v_addresses integer := coalesce(octet_length(p_addresses::text), 0);
  v_preferences integer := coalesce(octet_length(p_preferences::text), 0);
begin
  if v_addresses + v_preferences > 16384 then
    perform notify.refuse('NT003', case when v_addresses > v_preferences then 'addresses' else 'preferences' end,
      format('addresses and preferences of recipient %s have more than 16384 bytes', quote_literal(p_id)));
  end if;
end
$$;
comment on function notify.check_size(text, jsonb, jsonb) is
  'Refuses addresses and preferences that are too large together, as they are, or as they would be when merged.';

create or replace function notify.check_recipients(p_rows jsonb) returns void
language plpgsql stable as $$
declare
  v_row jsonb;
  v_whose text;
  v_member text;
  v_channel text;
  v_choosy boolean := false;
begin
  for v_row in select e from jsonb_array_elements(p_rows) as e loop
    if coalesce(octet_length(v_row ->> 'id'), 0) not between 1 and 128 or v_row ->> 'id' ~ '[\u0001-\u001f\u007f-\u009f]' then
      perform notify.refuse('NT001', 'recipients', 'a recipient id must have 1 to 128 bytes and no control characters');
    end if;
    v_whose := ' of recipient ' || quote_literal(v_row ->> 'id');
    if jsonb_typeof(v_row -> 'addresses') not in ('object', 'null') then
      perform notify.refuse('NT001', 'addresses', format('addresses%s must be a JSON object', v_whose));
    elsif v_row -> 'addresses' @? 'strict $.* ? (@.type() != "string" && @.type() != "object")' then
      perform notify.refuse('NT001', 'addresses', format('each of the addresses%s must be a text or an object', v_whose));
    elsif jsonb_typeof(v_row -> 'preferences') not in ('object', 'null') then
      perform notify.refuse('NT001', 'preferences', format('preferences%s must be a JSON object', v_whose));
    elsif notify.is_deep(v_row -> 'addresses') then
      perform notify.refuse('NT003', 'addresses', format('addresses%s is nested deeper than 64 levels', v_whose));
    elsif notify.is_deep(v_row -> 'preferences') then
      perform notify.refuse('NT003', 'preferences', format('preferences%s is nested deeper than 64 levels', v_whose));
    elsif v_row ->> 'locale' !~ '^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$' then
      perform notify.refuse('NT001', 'locale', format('locale%s must be a language tag such as de or pt-BR', v_whose));
    end if;
    if v_row -> 'preferences' ?| '{opt_out,opt_in,quiet_hours}' then
      perform notify.check_preferences(v_row -> 'preferences', v_whose);
      v_choosy := true;
    end if;
    perform notify.check_size(v_row ->> 'id', v_row -> 'addresses', v_row -> 'preferences');
  end loop;
  -- All at once: each look at pg_timezone_names reads every file of the time zone database.
  select e ->> 'id' into v_whose from jsonb_array_elements(p_rows) as e
  where e ->> 'time_zone' is not null
    and not exists (select from notify.recipient r where r.id = e ->> 'id' and r.time_zone = e ->> 'time_zone')
    and (e ->> 'time_zone') not in (select z.name from pg_timezone_names z)
  limit 1;
  if found then
    perform notify.refuse('NT001', 'time_zone',
      format('time_zone of recipient %s must be an IANA name such as Europe/Berlin', quote_literal(v_whose)));
  end if;
  if v_choosy then
    -- Whoever opts out of a channel that there is not would go on getting mail. Those that come with notify may be named
    -- before a worker has made them known.
    select e ->> 'id', m.name, o ->> 'channel' into v_whose, v_member, v_channel
    from jsonb_array_elements(p_rows) as e cross join unnest('{opt_out,opt_in}'::text[]) as m (name)
    cross join lateral jsonb_array_elements(coalesce(nullif(e -> 'preferences' -> m.name, 'null'), '[]')) as o
    where o ->> 'channel' not in ('email', 'webhook', 'apprise') and not exists (select from notify.channel c where c.name = o ->> 'channel')
    limit 1;
    if found then
      perform notify.refuse('NT001', 'preferences.' || v_member, format(
        'preferences.%s of recipient %s: channel %s is not known; known are %s, and what else a worker serves once that has started',
        v_member, quote_literal(v_whose), quote_literal(left(v_channel, 64)), (
          select string_agg(distinct k.name, ', ' order by k.name)
          from (select c.name from notify.channel c where c.name <> 'inbox' union values ('email'), ('webhook'), ('apprise')) k (name))));
    end if;
  end if;
end
$$;
comment on function notify.check_recipients(jsonb) is 'Refuses recipients that cannot be accepted, naming the field.';

create or replace function notify.changed_recipients(p_rows jsonb, p_replace boolean)
returns table (id text, time_zone text, locale text, addresses jsonb, preferences jsonb)
language sql volatile rows 100 as $$
  select n.* from (
    select o.id,
      case when p_replace or e ->> 'time_zone' is not null then e ->> 'time_zone' else o.time_zone end as time_zone,
      case when p_replace or e ->> 'locale' is not null then e ->> 'locale' else o.locale end as locale,
      case when p_replace then '{}' else o.addresses end || coalesce(nullif(e -> 'addresses', 'null'), '{}') as addresses,
      -- Asked of both sides, so that the many without either cost nothing.
      case when o.preferences @> '{"opt_out": [{"by": "recipient"}]}' or e -> 'preferences' ? 'opt_in'
        then notify.with_opt_outs(m.preferences - 'opt_in', o.preferences -> 'opt_out', e #> '{preferences,opt_in}')
        else m.preferences end as preferences
    from (
      select distinct on (e ->> 'id') e from jsonb_array_elements(p_rows) with ordinality as g (e, place)
      order by e ->> 'id', place desc
    ) as given
    join notify.recipient o on o.id = given.e ->> 'id'
    cross join lateral (
      select case when p_replace then '{}' else o.preferences end || coalesce(nullif(e -> 'preferences', 'null'), '{}') as preferences
    ) as m
  ) as n
  join notify.recipient r on r.id = n.id
  where (r.time_zone, r.locale, r.addresses, r.preferences) is distinct from (n.time_zone, n.locale, n.addresses, n.preferences)
$$;
comment on function notify.changed_recipients(jsonb, boolean) is
  'Those of these rows that would change a registered recipient, as they would then be. What a recipient has opted out of itself stays, unless the row has an opt_in of it.';

create or replace function notify.upsert_recipients(p_rows jsonb, p_replace boolean) returns table (id text, created boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := notify.now();
  v_changed text[];
begin
  perform set_config('synchronous_commit', 'on', true);
  perform notify.check_recipients(p_rows);
  return query
  with given as (
    -- The last of doubles counts. In id order, so that two of these never wait in a circle.
    select distinct on (id) e ->> 'id' collate "C" as id, e as fields
    from jsonb_array_elements(p_rows) with ordinality as g (e, place) order by id, place desc
  ),
  written as (
    insert into notify.recipient as r (id, time_zone, locale, addresses, preferences, created_at, updated_at)
    select g.id, g.fields ->> 'time_zone', g.fields ->> 'locale', coalesce(nullif(g.fields -> 'addresses', 'null'), '{}'),
      coalesce(nullif(g.fields -> 'preferences', 'null'), '{}') - 'opt_in', v_now, v_now
    from given g order by g.id
    on conflict (id) do nothing
    returning r.id
  ),
  boxes as (
    insert into notify.mailbox (recipient) select w.id from written w order by w.id on conflict do nothing
  )
  select g.id, w.id is not null from given g left join written w on w.id = g.id;

  -- Unchanged rows are not written, and so not locked: schedule requests name the same people again and again.
  -- The others are locked in id order before they are read again, so that two of these neither wait in a circle nor
  -- lose each other's changes.
  v_changed := array(select c.id from notify.changed_recipients(p_rows, p_replace) c order by c.id);
  if cardinality(v_changed) > 0 then
    perform from notify.recipient r where r.id = any (v_changed) order by r.id for no key update;
    -- Each part may be small, and what has been merged large.
    perform notify.check_size(c.id, c.addresses, c.preferences) from notify.changed_recipients(p_rows, p_replace) c;
    update notify.recipient r
    set time_zone = c.time_zone, locale = c.locale, addresses = c.addresses, preferences = c.preferences, updated_at = v_now
    from notify.changed_recipients(p_rows, p_replace) c
    -- What is changed by others only now is not locked, and is theirs: a click to unsubscribe would be lost.
    where r.id = c.id and c.id = any (v_changed);
  end if;
end
$$;
comment on function notify.upsert_recipients(jsonb, boolean) is
  'Registers or updates many: an array of {id, time_zone, locale, addresses, preferences}. What a row does not give stays, unless p_replace; addresses and preferences are merged by key. What recipients have opted out of themselves stays in any case, but for what opt_in of preferences lifts. Returns id and whether it was new.';

create or replace function notify.upsert_recipient(
  id text, time_zone text default null, locale text default null, addresses jsonb default null, preferences jsonb default null
) returns boolean
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select u.created from notify.upsert_recipients(jsonb_build_array(jsonb_build_object(
    'id', upsert_recipient.id, 'time_zone', upsert_recipient.time_zone, 'locale', upsert_recipient.locale,
    'addresses', upsert_recipient.addresses, 'preferences', upsert_recipient.preferences)), false) u
$$;
comment on function notify.upsert_recipient(text, text, text, jsonb, jsonb) is
  'Registers a recipient, or updates what is given and leaves the rest. Returns whether it was new.';

create or replace function notify.hold_mailboxes(p_ids text[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- Locked as a new notification's foreign key locks them, and in recipient order, as by every writer.
  return cardinality(array(select m.recipient from notify.mailbox m where m.recipient = any (p_ids) order by m.recipient for key share of m));
end
$$;
comment on function notify.hold_mailboxes(text[]) is
  'Keeps these recipients from being deleted until the transaction ends. Returns how many of them there are.';

create or replace function notify.hold_recipient(p_id text) returns boolean
language plpgsql as $$
begin
  perform from notify.recipient r where r.id = p_id for update nowait;
  -- The mailbox first, against the order of all others, as from then on no notification can be added; nothing is waited for.
  perform from notify.mailbox m where m.recipient = p_id for update nowait;
  perform from notify.notification n where n.recipient = p_id order by n.id for update nowait;
  return true;
exception when lock_not_available then
  return false;
end
$$;
comment on function notify.hold_recipient(text) is
  'Locks a recipient with mailbox and all notifications, or, where another session holds any of them, nothing: false. Who asks may thus try again without keeping anybody waiting meanwhile.';

create or replace function notify.delete_recipient(id text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- As for any other lock; 0 means no limit.
  v_patience double precision := nullif(extract(epoch from current_setting('lock_timeout')::interval), 0);
  v_pause double precision := 0.01;
  v_batches bigint[];
begin
  perform set_config('synchronous_commit', 'on', true);
  -- A caller's open transaction may hold what this needs, and may next need what this holds. So it waits empty-handed.
  while not notify.hold_recipient(delete_recipient.id) loop
    if v_patience <= 0 then
      raise lock_not_available using message = 'another transaction holds what belongs to this recipient';
    end if;
    perform pg_sleep(v_pause);
    v_patience := v_patience - v_pause;
    v_pause := least(2 * v_pause, 0.32);
  end loop;
  with gone as (delete from notify.notification n where n.recipient = delete_recipient.id returning n.batch_id)
  select array_agg(distinct g.batch_id order by g.batch_id) into v_batches from gone g;
  perform notify.delete_empty_batches(v_batches);
  delete from notify.mailbox m where m.recipient = delete_recipient.id;
  delete from notify.recipient r where r.id = delete_recipient.id;
  return found;
end
$$;
comment on function notify.delete_recipient(text) is
  'Deletes a recipient with the whole stream and all that was pending. Returns whether there was one. While another transaction holds any of it, tries again as long as lock_timeout says, then raises lock_not_available (55P03).';
