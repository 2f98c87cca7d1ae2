create or replace function notify.schedule_status(p_id bigint) returns table (
  id bigint, title text, scheduled_at timestamptz, scheduled_status text, is_sent boolean, sent_at timestamptz,
  created_at timestamptz, cancel_reason text, failure_reason text, deliveries jsonb[]
)
language plpgsql stable rows 1 security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select n.id, b.title, n.due_at, n.status::text, n.status = 'sent', n.sent_at,
    b.created_at, n.cancel_reason, n.failure_reason,
    array(
      select jsonb_build_object('id', d.id, 'channel', d.channel, 'status', d.status, 'due_at', d.due_at,
        'attempts', d.attempts, 'sent_at', d.sent_at, 'error', d.error, 'code', d.code,
        'history', (select coalesce(jsonb_agg(jsonb_build_object('number', a.number, 'started_at', a.started_at, 'finished_at', a.finished_at,
          'outcome', a.outcome, 'code', a.code, 'detail', a.detail) order by a.number), '[]') from notify.attempt a where a.delivery_id = d.id))
      from notify.delivery d where d.notification_id = n.id order by d.id
    )
  from notify.notification n
  join notify.batch b on b.id = n.batch_id
  where n.id = p_id;
end
$$;
comment on function notify.schedule_status(bigint) is
  'Where one notification stands; no row: no such notification. Neither who receives it nor what it says beyond its title.';
