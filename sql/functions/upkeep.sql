create or replace function notify.delete_empty_batches(p_batches bigint[]) returns integer
language plpgsql as $$
declare
  v_count integer;
begin
  -- Two that delete the last notifications of one batch must not each see those of the other still there.
  perform from notify.batch b where b.id = any (p_batches) order by b.id for update;
  -- All notifications of a batch are inserted with it, so an empty one stays empty.
  delete from notify.batch b where b.id = any (p_batches)
    and not exists (select from notify.notification n where n.batch_id = b.id);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function notify.delete_empty_batches(bigint[]) is 'Deletes those of these batches that have no notification left.';

create or replace function notify.delete_cancelled(p_older_than interval, p_max integer, out deleted integer, out batches integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ids bigint[];
  v_batches bigint[];
begin
  v_ids := array(
    select n.id from notify.notification n
    where n.cancelled_at is not null and n.cancelled_at < notify.now() - p_older_than
    order by n.cancelled_at limit p_max for update skip locked
  );
  with gone as (delete from notify.notification n where n.id = any (v_ids) returning n.batch_id)
  select array_agg(distinct g.batch_id) into v_batches from gone g;
  deleted := cardinality(v_ids);
  batches := notify.delete_empty_batches(v_batches);
end
$$;
comment on function notify.delete_cancelled(interval, integer) is
  'Deletes up to p_max notifications that were cancelled longer ago than p_older_than, and the batches that this empties.';

create or replace function notify.delete_old(p_older_than interval, p_max integer, out deleted integer, out batches integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_before timestamptz := notify.now() - p_older_than;
  v_ids bigint[];
  v_open text[];
  v_batches bigint[];
begin
  v_ids := array(
    select n.id from notify.notification n where n.sent_at is not null and n.sent_at < v_before
      -- In the inbox for long, and yet on its way outside: its channel or type is paused, or it is tried again.
      and not exists (select from notify.delivery d where d.notification_id = n.id and d.status in ('pending', 'leased'))
    order by n.sent_at limit p_max for update skip locked
  ) || array(
    select n.id from notify.notification n where n.failed_at is not null and n.failed_at < v_before
    order by n.failed_at limit p_max for update skip locked
  );
  v_open := (notify.take_mailboxes(v_ids, false)).recipients;
  with gone as (
    delete from notify.notification n using unnest(v_open) as o (recipient)
    where n.id = any (v_ids) and n.recipient = o.recipient
    returning n.batch_id, n.recipient, n.seq, n.seq is not null and n.read_at is null as unread
  ),
  counted as (
    update notify.mailbox m set floor_seq = greatest(m.floor_seq, g.top), unread = m.unread - g.unread
    from (select recipient, max(seq) as top, count(*) filter (where unread) as unread from gone group by recipient) g
    where m.recipient = g.recipient
  )
  select array_agg(distinct g.batch_id), count(*) into v_batches, deleted from gone g;
  batches := notify.delete_empty_batches(v_batches);
end
$$;
comment on function notify.delete_old(interval, integer) is
  'Retention: deletes up to p_max sent and as many failed notifications older than p_older_than. Streams keep their floor, unread its count. What has a delivery that is not done stays; what another session has locked is left for the next time.';

-- The search path is for the triggers of Procrastinate's tables.
create or replace function notify.tidy(p_keep_answers interval, p_max integer, out answers integer, out wakeups integer, out jobs integer)
language plpgsql security definer set search_path = notify_jobs, pg_catalog, pg_temp as $$
begin
  delete from notify.idempotency i where (i.owner, i.key) in (
    select o.owner, o.key from notify.idempotency o where o.created_at < notify.now() - p_keep_answers
    order by o.created_at limit p_max for update skip locked);
  get diagnostics answers = row_count;
  -- Rings nobody answered, and dispatch jobs whose second is over: the sweep itself has just looked.
  delete from notify.wakeup w where w.ctid = any (array(
    select o.ctid from notify.wakeup o where o.at < notify.now() - interval '1 minute' limit p_max for update skip locked));
  get diagnostics wakeups = row_count;
  delete from notify_jobs.procrastinate_jobs j where j.id = any (array(
    select o.id from notify_jobs.procrastinate_jobs o
    where (o.queue_name = 'notify_dispatch' and o.task_name in ('notify.dispatch', 'notify.deliver')
        and (o.args ->> 'second')::timestamptz < notify.now() - interval '1 minute')
      -- A worker that died is deleted by the others, and leaves what it was doing.
      or (o.queue_name = 'notify_tasks' and o.status = 'doing' and o.worker_id is null)
    limit p_max for update skip locked));
  get diagnostics jobs = row_count;
end
$$;
comment on function notify.tidy(interval, integer) is
  'Deletes old idempotency answers, wakeups that nobody answered, and dispatch and deliver jobs whose second is over by a minute, also those stuck in doing, and other jobs of ours that a dead worker left in doing.';
