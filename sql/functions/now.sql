create or replace function notify.now() returns timestamptz
language sql volatile parallel safe as $$
  select clock_timestamp() + coalesce(nullif(current_setting('notify.clock_offset', true), ''), '0')::interval
$$;
comment on function notify.now() is
  'The one clock. Real time, moved by the setting notify.clock_offset (an interval, as ''2 hours''), which tests set for a session or a database.';
