update notify.api_key k set revoked_at = coalesce(k.revoked_at, notify.now())
where k.id = %(id)s::bigint
returning k.id
