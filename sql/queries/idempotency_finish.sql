select notify.idempotency_finish(a.owner, a.key, a.hash,
  jsonb_build_object('status', a.status, 'body', a.body, 'media_type', a.media_type))
from unnest(%(owners)s::text[], %(keys)s::text[], %(hashes)s::bytea[], %(statuses)s::integer[], %(bodies)s::text[],
  %(media_types)s::text[]) as a (owner, key, hash, status, body, media_type)
