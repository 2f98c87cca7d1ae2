select k.id, k.name, k.prefix, k.scopes, k.created_at, k.expires_at, k.revoked_at
from notify.api_key k
order by k.id
