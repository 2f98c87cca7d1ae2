create or replace function notify.cancel(id bigint, out cancelled boolean, out status text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('synchronous_commit', 'on', true);
  update notify.notification n set status = 'cancelled', cancelled_at = notify.now(), cancel_reason = 'requested'
  where n.id = cancel.id and n.status = 'pending';
  cancelled := found;
  select n.status::text into status from notify.notification n where n.id = cancel.id;
end
$$;
comment on function notify.cancel(bigint) is
  'Cancels a pending notification: then it is never sent. cancelled: whether this call did it. status: where it stands now; null: no such notification.';

create or replace function notify.cancel_batches(p_batches bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ids bigint[];
begin
  perform set_config('synchronous_commit', 'on', true);
  -- Locked in id order, so that two of these never wait for each other in a circle.
  v_ids := array(select n.id from notify.notification n
    where n.batch_id = any (p_batches) and n.status = 'pending' order by n.id for no key update);
  update notify.notification n set status = 'cancelled', cancelled_at = notify.now(), cancel_reason = 'requested'
  where n.id = any (v_ids);
  return cardinality(v_ids);
end
$$;
comment on function notify.cancel_batches(bigint[]) is 'Cancels all that is pending of these batches; returns how many.';

create or replace function notify.cancel_reference(reference text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if coalesce(cancel_reference.reference, '') = '' then
    perform notify.refuse('NT001', 'reference', 'reference must not be empty');
  end if;
  return notify.cancel_batches(array(select b.id from notify.batch b where b.reference = cancel_reference.reference));
end
$$;
comment on function notify.cancel_reference(text) is
  'Cancels all that is pending under a reference; returns how many. An empty reference is refused.';

create or replace function notify.reschedule(id bigint, scheduled_at timestamptz, out rescheduled boolean, out status text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_expires_at timestamptz;
begin
  perform set_config('synchronous_commit', 'on', true);
  if reschedule.scheduled_at is null then
    perform notify.refuse('NT001', 'scheduled_at', 'scheduled_at must be given');
  end if;
  select b.expires_at into v_expires_at from notify.notification n join notify.batch b on b.id = n.batch_id where n.id = reschedule.id;
  perform notify.check_time(reschedule.scheduled_at, null, notify.now());
  if reschedule.scheduled_at >= v_expires_at then
    perform notify.refuse('NT001', 'scheduled_at', 'scheduled_at must lie before the notification''s expires_at');
  end if;
  update notify.notification n set due_at = reschedule.scheduled_at where n.id = reschedule.id and n.status = 'pending';
  rescheduled := found;
  select n.status::text into status from notify.notification n where n.id = reschedule.id;
end
$$;
comment on function notify.reschedule(bigint, timestamptz) is
  'Moves a pending notification to another time. rescheduled: whether it did. status: where it stands now; null: no such notification.';

create or replace function notify.retry(id bigint, delay interval default '10 minutes', out retried boolean, out status text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := notify.now();
begin
  perform set_config('synchronous_commit', 'on', true);
  if retry.delay is null or retry.delay < interval '0' or retry.delay > interval '5 years' then
    perform notify.refuse('NT001', 'delay_minutes', 'the delay must lie between 0 and 5 years');
  end if;
  update notify.notification n
  set status = 'pending', due_at = v_now + retry.delay, failed_at = null, failure_reason = null
  where n.id = retry.id and (n.status = 'failed' or (n.status = 'pending' and n.due_at <= v_now));
  retried := found;
  select n.status::text into status from notify.notification n where n.id = retry.id;
end
$$;
comment on function notify.retry(bigint, interval) is
  'Makes a failed or overdue notification pending again, due after the delay. retried: whether it did. status: where it stands now; null: no such notification.';

create or replace function notify.send(id bigint, wait boolean default true, out sent boolean, out status text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_was notify.status;
begin
  perform set_config('synchronous_commit', 'on', true);
  -- Others are not to wait for one that there is nothing to do about.
  select n.status into v_was from notify.notification n where n.id = send.id and n.status = 'pending' for no key update;
  if v_was = 'pending' then
    update notify.notification n set due_at = least(n.due_at, notify.now()) where n.id = send.id and n.due_at > notify.now();
    if send.wait then
      perform notify.drain(p_only => array[send.id], p_wait => true);
    end if;
  end if;
  select n.status::text into status from notify.notification n where n.id = send.id;
  sent := coalesce(v_was = 'pending' and status in ('pending', 'sending', 'sent'), false);
end
$$;
comment on function notify.send(bigint, boolean) is
  'Sends a pending notification now. wait: it is sent when this returns, and the transaction should end at once, as it holds the mailbox. Without wait it is only made due, and goes out after the commit. sent: whether this call did it. status: where it stands now; null: no such notification.';

create or replace function notify.park(id bigint, reason text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('synchronous_commit', 'on', true);
  update notify.notification n set status = 'failed', failed_at = notify.now(), failure_reason = left(park.reason, 1000)
  where n.id = park.id and n.status = 'pending';
  return found;
end
$$;
comment on function notify.park(bigint, text) is
  'Puts a notification that the drain cannot send aside as failed, so that it stops nobody else.';
