create or replace function notify.listen() returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_channel text;
begin
  select s.value into strict v_channel from notify.secret s where s.name = 'signal_channel';
  -- In here, as a statement of the session's own would show the name to whoever reads pg_stat_activity.
  execute format('listen %I', v_channel);
  return rtrim(notify.epoch(0), '0');
end
$$;
comment on function notify.listen() is
  'Lets this session hear the drain''s signals. Returns the cluster''s part of every epoch.';

create or replace function notify.token_key() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_key text;
begin
  select s.value into strict v_key from notify.secret s where s.name = 'token_key';
  return v_key;
end
$$;
comment on function notify.token_key() is 'What signs the tokens of recipients, where NOTIFY_TOKEN_SECRET is not set.';
