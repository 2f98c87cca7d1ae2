select k.id, k.scopes, k.expires_at
from notify.api_key k
where k.hash = %(hash)s and k.revoked_at is null and (k.expires_at is null or k.expires_at > notify.now())
