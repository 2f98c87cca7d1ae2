create or replace function notify.ring_for(p_due_at timestamptz, p_soon interval default '1 second') returns void
language plpgsql set search_path = notify_jobs, pg_catalog, pg_temp as $$
declare
  v_now timestamptz := notify.now();
  v_at timestamptz;
begin
  -- Beyond the planning window the sweep plans it: nothing is written now.
  if p_due_at > v_now + interval '1 minute' then
    return;
  end if;
  if p_due_at <= v_now + p_soon then
    v_at := v_now;
    -- A drain may be answering that ring just now, without seeing our rows yet. What is due this instant is then above
    -- the ticker's low-water mark and found all the same; what comes late trusts only a ring of its own transaction.
    if exists (select from notify.wakeup w
               where w.at <= v_now and w.at > v_now - interval '1 minute' and w.due_from <= p_due_at
                 and (p_due_at > v_now - interval '1 second' or w.xmin = pg_current_xact_id()::xid)) then
      return;
    end if;
  else
    v_at := date_bin('1 second', p_due_at + interval '999999 microseconds', timestamptz 'epoch');
    if exists (select from notify.wakeup w where w.at = v_at) then
      return;
    end if;
  end if;
  insert into notify.wakeup (at, due_from) values (v_at, least(p_due_at, v_at - interval '1 second'));
  -- Procrastinate compares schedule_at with the real clock, so a moved clock is moved back here.
  perform procrastinate_defer_jobs_v1(array[row(
    'notify_dispatch', 'notify.dispatch', 0, null, null,
    jsonb_build_object('second', v_at),
    case when v_at > v_now then clock_timestamp() + (v_at - v_now) end
  )::procrastinate_job_to_defer_v1]);
end
$$;
comment on function notify.ring_for(timestamptz, interval) is
  'Sets the alarm clock for a due time: a wakeup row and a dispatch job, unless an unanswered one stands already or the time lies beyond the planning window of a minute. What is due within p_soon wakes the ticker at once, which then sleeps to the instant; anything later gets the end of its second.';

create or replace function notify.ring(p_id bigint) returns void
language plpgsql as $$
declare
  v_due timestamptz;
begin
  -- What this transaction itself has already sent or cancelled again needs no ring.
  select n.due_at into v_due from notify.notification n where n.id = p_id and n.status = 'pending';
  if v_due is not null then
    perform notify.ring_for(v_due);
  end if;
end
$$;
comment on function notify.ring(bigint) is 'What ring_at_commit does for a notification that was moved: rings if it is still pending.';

-- The trigger's function of the first migration. When a batch is due does not change, so it is not looked up again.
create or replace function notify.ring_at_commit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_table_name = 'batch' then
    perform notify.ring_for(new.scheduled_at);
  else
    perform notify.ring(new.id);
  end if;
  return null;
end
$$;
comment on function notify.ring_at_commit() is 'Rings the doorbell for what this transaction made due.';

create or replace function notify.plan() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_end timestamptz := notify.now() + interval '1 minute';
  v_due timestamptz := notify.now();
  v_planned integer := 0;
begin
  -- What is overdue is the drain's business, not the alarm clock's.
  loop
    v_due := notify.next_due(v_due + interval '1 microsecond');
    exit when v_due is null or v_due > v_end;
    perform notify.ring_for(v_due, interval '0');
    v_planned := v_planned + 1;
    -- One alarm a second is enough.
    v_due := date_bin('1 second', v_due + interval '999999 microseconds', timestamptz 'epoch');
  end loop;
  return v_planned;
end
$$;
comment on function notify.plan() is
  'Sets the alarm clocks of the coming minute: one for each second in which something is due. Returns how many seconds that were.';

-- Of earlier versions; dropped here, when nothing calls it any more.
drop function if exists notify.ring(text, bigint);
