create or replace function notify.pick_chunk(
  p_max integer, p_due_from timestamptz, p_avoid text[], p_quarantine bigint[], p_only bigint[], p_after bigint[],
  out ids bigint[], out after bigint[]
) language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
  v_now timestamptz := notify.now();
  v_from timestamptz;
  v_from_id bigint;
  v_priority notify.priority;
  v_max integer := p_max;
begin
  ids := '{}';
  if p_only is not null then
    ids := array(
      select n.id from notify.notification n
      where n.id = any (p_only) and n.status = 'pending' and n.due_at <= v_now
      order by n.id
      for no key update skip locked
    );
    return;
  end if;
  foreach v_priority in array array['urgent', 'high', 'normal', 'low']::notify.priority[] loop
    if v_priority = 'high' and cardinality(ids) > 0 then
      -- What is urgent is not to wait for the work on a thousand others; and those are not to wait until nothing is.
      v_max := least(p_max, cardinality(ids) + greatest(1, p_max / 10));
    end if;
    select l.due_at, l.id into v_from, v_from_id
    from notify.notification l where l.id = any (p_after) and l.priority = v_priority;
    if not found then
      v_from := coalesce(p_due_from, '-infinity');
      v_from_id := 0;
    end if;
    ids := ids || array(
      select n.id from notify.notification n
      where n.status = 'pending' and n.priority = v_priority and (n.due_at, n.id) > (v_from, v_from_id) and n.due_at <= v_now
        -- Not `<> all`: a subquery is hashed, and thousands may be locked.
        and n.recipient not in (select a.recipient from unnest(p_avoid) as a (recipient))
        and n.id not in (select q.id from unnest(p_quarantine) as q (id))
      order by n.due_at, n.id
      limit v_max - cardinality(ids)
      for no key update skip locked
    );
    if cardinality(ids) >= v_max then
      after := array(select l.id from notify.notification l where l.id = any (p_after) and l.priority <> v_priority)
        || ids[cardinality(ids)];
      return;
    end if;
  end loop;
end
$$;
comment on function notify.pick_chunk(integer, timestamptz, text[], bigint[], bigint[], bigint[]) is
  'Locks up to p_max due rows nobody else has locked, urgent first and with no more than a tenth of p_max beside them. ids: theirs. after: where the next chunk may go on, null if this one was not filled; see drain(). With p_only: those of them that are due.';

create or replace function notify.pick(
  p_max integer, p_due_from timestamptz, p_avoid text[], p_quarantine bigint[], p_only bigint[]
) returns bigint[]
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select p.ids from notify.pick_chunk(p_max, p_due_from, p_avoid, p_quarantine, p_only, '{}') p
$$;
comment on function notify.pick(integer, timestamptz, text[], bigint[], bigint[]) is
  'The ids that pick_chunk() picks from p_due_from.';

create or replace function notify.take_mailboxes(
  p_ids bigint[], p_wait boolean, out recipients text[], out places tid[], out generations bigint[], out last_seqs bigint[]
) language plpgsql set enable_seqscan = off as $$
begin
  if p_wait then
    perform from notify.mailbox m
    where m.recipient in (select n.recipient from notify.notification n where n.id = any (p_ids))
    order by m.recipient
    for no key update;
  end if;
  select array_agg(l.recipient), array_agg(l.place), array_agg(l.generation), array_agg(l.last_seq)
  into recipients, places, generations, last_seqs
  from (
    select m.recipient, m.ctid as place, m.generation, m.last_seq from notify.mailbox m
    where m.recipient in (select n.recipient from notify.notification n where n.id = any (p_ids))
    order by m.recipient
    for no key update skip locked
  ) l;
end
$$;
comment on function notify.take_mailboxes(bigint[], boolean) is
  'Locks the mailboxes of these notifications in recipient order and returns what they hold; those that another session holds are left out, unless p_wait. places: where the rows lie for as long as they are locked. Finding a mailbox means a walk over all its versions that a long snapshot keeps, so it is found once.';

create or replace function notify.send_signals(p_lines text[], p_sent_at timestamptz) returns integer
language plpgsql as $$
declare
  v_channel text;
  v_header text := 'sent' || chr(9) || (extract(epoch from p_sent_at) * 1000000)::bigint;
  v_payload text := v_header;
  v_line text;
  v_count integer := 0;
begin
  select s.value into strict v_channel from notify.secret s where s.name = 'signal_channel';
  foreach v_line in array p_lines loop
    -- A NOTIFY payload has at most 7,999 bytes.
    if octet_length(v_payload) + 1 + octet_length(v_line) > 7900 then
      perform pg_notify(v_channel, v_payload);
      v_count := v_count + 1;
      v_payload := v_header;
    end if;
    v_payload := v_payload || chr(10) || v_line;
  end loop;
  if v_payload <> v_header then
    perform pg_notify(v_channel, v_payload);
    v_count := v_count + 1;
  end if;
  return v_count;
end
$$;
comment on function notify.send_signals(text[], timestamptz) is
  'Packs signal lines by bytes and NOTIFYs them. Payload: a line "sent TAB sent_at in microseconds since 1970", then a line a notification: recipient, generation, seq, notification id, batch id, microseconds late, separated by TAB.';

-- What it answers has changed since, and that cannot be replaced.
drop function if exists notify.settle(bigint[], text[], tid[], bigint[], bigint[], boolean);
create function notify.settle(
  p_ids bigint[], p_recipients text[], p_places tid[], p_generations bigint[], p_last_seqs bigint[], p_signal boolean,
  out sent integer, out sending integer, out expired integer, out deliveries integer
) language plpgsql set enable_seqscan = off as $$
declare
  v_at timestamptz := notify.now();
  v_lines text[];
begin
  with picked as materialized (
    select n.id, n.recipient, n.priority, n.due_at, n.batch_id, b.channels, 'inbox' = any (b.channels) as inbox,
      m.place, m.generation, m.last_seq, coalesce(b.expires_at <= v_at, false) as expired
    from notify.notification n
    join unnest(p_recipients, p_places, p_generations, p_last_seqs) as m (recipient, place, generation, last_seq)
      on m.recipient = n.recipient
    join notify.batch b on b.id = n.batch_id
    where n.id = any (p_ids)
  ),
  numbered as materialized (
    select p.*, p.last_seq + row_number() over (partition by p.recipient order by p.priority desc, p.due_at, p.id) as seq
    from picked p where p.inbox and not p.expired
  ),
  in_stream as (
    update notify.notification n set status = 'sent', sent_at = v_at, seq = u.seq
    from numbered u where n.id = u.id
  ),
  counted as (
    update notify.mailbox m set last_seq = c.top, unread = m.unread + c.many
    from (select u.place, max(u.seq) as top, count(*) as many from numbered u group by u.place) c
    where m.ctid = c.place
  ),
  outside as (
    update notify.notification n set status = 'sending'
    from picked p where n.id = p.id and not p.inbox and not p.expired
  ),
  outgoing as (
    insert into notify.delivery (notification_id, channel, priority, due_at)
    select p.id, c.channel, p.priority, v_at from picked p cross join unnest(p.channels) as c (channel)
    where not p.expired and c.channel <> 'inbox'
    order by p.id
    on conflict (notification_id, channel) do update
    set status = 'pending', due_at = excluded.due_at, since = null, failed_at = null, retries_from = delivery.attempts
    where delivery.status in ('failed', 'cancelled')
    returning id
  ),
  too_late as (
    update notify.notification n set status = 'cancelled', cancelled_at = v_at, cancel_reason = 'expired'
    from picked p where n.id = p.id and p.expired
  )
  select (select count(*) from numbered),
    (select count(*) from picked p where not p.inbox and not p.expired),
    (select count(*) from picked p where p.expired), (select count(*) from outgoing),
    (select array_agg(u.recipient || chr(9) || u.generation || chr(9) || u.seq || chr(9) || u.id || chr(9) || u.batch_id || chr(9)
       || (extract(epoch from v_at - u.due_at) * 1000000)::bigint order by u.recipient, u.seq) from numbered u)
  into sent, sending, expired, deliveries, v_lines;
  if p_signal and v_lines is not null then
    perform notify.send_signals(v_lines, v_at);
  end if;
end
$$;
comment on function notify.settle(bigint[], text[], tid[], bigint[], bigint[], boolean) is
  'Turns locked due rows of locked mailboxes (as take_mailboxes() returns them) into sent ones: numbers them in their recipients'' streams, counts them, adds deliveries for outside channels, cancels what has expired, and signals.';

create or replace function notify.is_crowded(p_places integer) returns boolean
language sql stable as $$
  -- Anybody may take an advisory lock, so those of who may not drain do not count.
  select count(*) >= p_places
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where l.locktype = 'advisory' and l.granted and l.objsubid = 2
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
    and l.classid = 5477 and l.objid between 1 and p_places
    and (pg_has_role(a.usesysid, 'notify_worker', 'member') or pg_has_role(a.usesysid, 'notify_owner', 'member'))
$$;
comment on function notify.is_crowded(integer) is
  'Whether the first p_places of the drains'' places are taken by sessions that may drain.';

drop function if exists notify.drain(integer, timestamptz, text[], bigint[], bigint[], boolean, boolean, bigint[]);
create function notify.drain(
  p_max integer default 1000,
  p_due_from timestamptz default null,
  p_avoid text[] default '{}',
  p_quarantine bigint[] default '{}',
  p_only bigint[] default null,
  p_wait boolean default false,
  p_signal boolean default true,
  p_after bigint[] default '{}',
  out picked integer, out sent integer, out sending integer, out expired integer,
  out busy text[], out crowded boolean, out left_due boolean, out due_from timestamptz, out looked_at timestamptz,
  out next_due_in double precision, out after bigint[], out deliveries integer, out delivery_due_in double precision
)
-- For an empty look, or a few, planning takes as long as running; every step is a walk along a key.
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  v_ids bigint[];
  v_after bigint[] := p_after;
  v_rung timestamptz;
  v_taken record;
  v_next timestamptz;
begin
  -- The user's server may have it off; a SET clause of this function would be undone before the commit.
  perform set_config('synchronous_commit', 'on', true);
  picked := 0; sent := 0; sending := 0; expired := 0; deliveries := 0; busy := '{}'; left_due := false;
  due_from := p_due_from;
  looked_at := notify.now();
  -- More than two drains at once gain nothing and make chunks slower. A look from the beginning has a place of its own,
  -- as what lies below the others' marks is sent by no other.
  crowded := p_only is null and not (pg_try_advisory_xact_lock(5477, 1) or pg_try_advisory_xact_lock(5477, 2)
    or (p_due_from is null and pg_try_advisory_xact_lock(5477, 3)))
    and notify.is_crowded(case when p_due_from is null then 3 else 2 end);
  if crowded then
    return;
  end if;
  if p_only is null then
    -- The doorbell is answered before looking: who commits later rings anew.
    with answered as (
      delete from notify.wakeup w where w.ctid = any (array(
        select r.ctid from notify.wakeup r
        where r.at <= looked_at and r.at > looked_at - interval '5 minutes' for update skip locked))
      returning w.due_from
    )
    select min(a.due_from) into v_rung from answered a;
    if v_rung is not null then
      due_from := case when p_due_from is not null then least(p_due_from, v_rung) end;
      v_after := array(select l.id from notify.notification l where l.id = any (p_after) and l.due_at < v_rung);
    end if;
  end if;
  select p.ids, p.after into v_ids, after from notify.pick_chunk(p_max, due_from, p_avoid, p_quarantine, p_only, v_after) p;
  picked := cardinality(v_ids);
  if picked > 0 then
    v_taken := notify.take_mailboxes(v_ids, p_wait);
    select s.sent, s.sending, s.expired, s.deliveries into sent, sending, expired, deliveries
    from notify.settle(v_ids, v_taken.recipients, v_taken.places, v_taken.generations, v_taken.last_seqs, p_signal) s;
    if sent + sending + expired < picked then
      busy := array(select distinct n.recipient from notify.notification n where n.id = any (v_ids)
                    and n.status = 'pending');
    end if;
  elsif p_only is null then
    v_next := notify.next_due(coalesce(due_from, '-infinity'));
    -- Due and not picked: another session has it locked, and may let it go unsent.
    left_due := coalesce(v_next <= looked_at, false);
    if left_due then
      v_next := notify.next_due(looked_at);
    end if;
    next_due_in := extract(epoch from v_next - notify.now());
    select min(d.due_in) into delivery_due_in from notify.next_deliveries(coalesce(due_from, '-infinity')) d;
  end if;
end
$$;
comment on function notify.drain(integer, timestamptz, text[], bigint[], bigint[], boolean, boolean, bigint[]) is
  'The one way out: takes a chunk of due notifications and sends them. Autocommitted by the ticker, a chunk a call. p_due_from: low-water mark; null: from the beginning. p_avoid: recipients found locked. p_quarantine: ids to leave alone. p_only: just these ids. p_wait: wait for locked mailboxes. p_after: the ids that the chunk before returned so, of each priority the last one that filled a chunk: of that priority nothing is looked for before it, so a pass does not walk over what it has sent and a long snapshot keeps. Returns what was picked, sent, given to outside channels and expired; busy: recipients whose mailbox was locked; crowded: two others are draining, or three where p_due_from is null; left_due: nothing was picked although something is due, as it is locked or was to be left alone; due_from: the mark that was used; looked_at: when; next_due_in: seconds to the next due time, when nothing was picked; after: p_after for the next chunk, null where this one was not filled, so that the next looks from the beginning again; deliveries: how many were added for outside channels; delivery_due_in: seconds to the next one that a channel may send, when nothing was picked.';

-- Of earlier versions; dropped here, when nothing calls them any more.
drop function if exists
  notify.settle(bigint[], text[], boolean), notify.open_mailboxes(bigint[], boolean),
  notify.drain(integer, timestamptz, text[], bigint[], bigint[], boolean, boolean);
