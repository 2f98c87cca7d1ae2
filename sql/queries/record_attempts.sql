select recorded, disabled, locked, stopped
from notify.record_attempts(
  p_channel => %(channel)s::text,
  p_ids => %(ids)s::bigint[],
  p_tokens => %(tokens)s::uuid[],
  p_kinds => %(kinds)s::text[],
  p_codes => %(codes)s::text[],
  p_details => %(details)s::text[],
  p_seconds => %(seconds)s::double precision[],
  p_delays => %(delays)s::double precision[],
  p_rests => %(rests)s::double precision[],
  p_disable => %(disable)s::boolean[],
  p_outages => %(outages)s::boolean[],
  p_hashes => %(hashes)s::text[],
  p_most_days => %(most_days)s::double precision,
  p_threshold => %(threshold)s::integer,
  p_breaker_seconds => %(breaker_seconds)s::double precision
)
