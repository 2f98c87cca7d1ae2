create or replace function notify.next_due(p_from timestamptz default '-infinity') returns timestamptz
language sql stable set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
  -- One index probe a priority: min() over all of them would read every pending row.
  select min(first.due_at)
  from unnest(enum_range(null::notify.priority)) as p (priority)
  cross join lateral (
    select n.due_at from notify.notification n
    where n.status = 'pending' and n.priority = p.priority and n.due_at >= p_from
    order by n.due_at
    limit 1
  ) as first
$$;
comment on function notify.next_due(timestamptz) is
  'Due time of the earliest pending notification due at p_from or later; null: none.';
