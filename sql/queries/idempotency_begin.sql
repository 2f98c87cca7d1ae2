select (a.answer ->> 'status')::integer as status, a.answer ->> 'body' as body, a.answer ->> 'media_type' as media_type
from notify.idempotency_begin(%(owner)s::text, %(key)s::text, %(hash)s::bytea) as a (answer)
where a.answer is not null
