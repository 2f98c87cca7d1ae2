create or replace function notify.now() returns timestamptz
language sql volatile parallel safe as $$
  select clock_timestamp() + case
    when coalesce(current_setting('notify.clock_offset', true), '') = '' then interval '0'
    -- The setting is anybody's to set, and doors believe this clock.
    when pg_has_role(session_user, 'notify_owner', 'member') then current_setting('notify.clock_offset')::interval
    else interval '0' end
$$;
comment on function notify.now() is
  'The one clock. Real time, moved by the setting notify.clock_offset (an interval, as ''2 hours''), which tests set for a session or a database; that of a login which is not in notify_owner does not count.';
