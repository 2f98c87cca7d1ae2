select r.replayed, r.more
from notify.replay_failed(
  p_channel => %(channel)s::text,
  p_code => %(code)s::text,
  p_batch => %(batch_id)s::bigint,
  p_from => %(failed_from)s::timestamptz,
  p_to => %(failed_to)s::timestamptz,
  p_max => %(limit)s::integer
) as r
