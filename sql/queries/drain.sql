select picked, sent, sending, expired, busy, crowded, left_due, due_from, looked_at, next_due_in, after,
  deliveries, delivery_due_in
from notify.drain(
  p_max => %(max_rows)s::integer,
  p_due_from => %(due_from)s::timestamptz,
  p_avoid => %(avoid)s::text[],
  p_quarantine => %(quarantine)s::bigint[],
  p_only => %(only)s::bigint[],
  p_signal => %(signal)s::boolean,
  p_after => %(after)s::bigint[]
)
