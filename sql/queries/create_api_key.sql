insert into notify.api_key (name, prefix, hash, scopes, created_at, expires_at)
select %(label)s::text, %(prefix)s::text, %(hash)s::bytea, %(scopes)s::text[], notify.now(),
  notify.now() + %(lasts)s::interval
returning id, name, prefix, scopes, created_at, expires_at, revoked_at
