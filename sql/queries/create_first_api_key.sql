insert into notify.api_key (name, prefix, hash, scopes, created_at)
select %(label)s::text, %(prefix)s::text, %(hash)s::bytea, %(scopes)s::text[], notify.now()
where not exists (select from notify.api_key)
returning id
