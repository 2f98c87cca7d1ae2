create or replace function notify.schedule_together(p_requests jsonb)
returns table (place integer, recipient text, notification_id bigint, batch_id bigint, due_at timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_free text[];
  v_request record;
  v_now timestamptz;
  v_at timestamptz;
  v_data jsonb;
  v_ids text[];
  v_batches notify.batch[] := '{}';
  v_of integer[] := '{}';
  v_recipients text[] := '{}';
  v_places integer[] := '{}';
begin
  perform set_config('synchronous_commit', 'on', true);
  -- A trigger of the application, or a lock on a whole table: whoever waits for that waits alone.
  perform set_config('lock_timeout', '100ms', true);
  -- One locked recipient must not hold up the requests of others.
  v_free := array(
    select m.recipient from notify.mailbox m
    where m.recipient = any (array(
      select i.id from jsonb_array_elements(p_requests) as r (request)
      cross join lateral jsonb_array_elements_text(r.request -> 'recipients') as i (id)
    ))
    order by m.recipient for key share of m skip locked
  );
  for v_request in
    select r.place, x.* from jsonb_array_elements(p_requests) with ordinality as r (request, place)
    cross join lateral jsonb_to_record(r.request) as x (
      recipients text[], title text, message text, scheduled_at timestamptz, past_is_now boolean, type text, priority text, data text,
      channels text[], reference text, expires_at timestamptz, owner text, key text, hash text
    )
    where x.recipients <@ v_free and cardinality(x.recipients) > 0
  loop
    begin
      continue when v_request.key is not null
        and notify.idempotency_begin(v_request.owner, v_request.key, decode(v_request.hash, 'hex')) is not null;
      v_now := notify.now();
      v_at := case when v_request.past_is_now and v_request.scheduled_at <= v_now then null else v_request.scheduled_at end;
      v_data := v_request.data::jsonb;
      perform notify.check_content(v_request.title, v_request.message, v_request.type, v_request.priority, v_data,
        v_request.channels, v_request.reference);
      perform notify.check_time(v_at, v_request.expires_at, v_now);
    exception when others then
      -- Not in the result: it goes alone, and is told then what is wrong with it.
      continue;
    end;
    v_ids := notify.distinct_ids(v_request.recipients);
    v_batches := v_batches || row(null, v_request.type, v_request.priority, v_request.title, v_request.message, v_data,
      v_request.channels, v_request.reference, coalesce(v_at, v_now), v_request.expires_at, v_now)::notify.batch;
    v_of := v_of || array_fill(cardinality(v_batches), array[cardinality(v_ids)]);
    v_recipients := v_recipients || v_ids;
    v_places := v_places || v_request.place::integer;
  end loop;
  if v_places = '{}' then
    return;
  end if;
  return query
  select v_places[s.of], s.recipient, s.notification_id, s.batch_id, s.due_at
  from notify.store(v_batches, v_of, v_recipients) s;
end
$$;
comment on function notify.schedule_together(jsonb) is
  'Several schedule requests in one transaction: an array of objects with the parameters of schedule() (data: its JSON as a text; past_is_now: a past time means now), and of idempotency_begin() where there is a key. Returns the rows of those that were stored, with their place in the array from 1 on, and when they are due. All others changed nothing and are to be repeated alone: those that were refused, have an answer already, or name a recipient who is unknown or locked.';
