select notify.idempotency_finish(%(owner)s::text, %(key)s::text, %(hash)s::bytea,
  jsonb_build_object('status', %(status)s::integer, 'body', %(body)s::text, 'media_type', %(media_type)s::text))
