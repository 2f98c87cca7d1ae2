-- `data` as text: through Python's floats it would lose digits.
select b.id as batch_id, b.type, b.priority, b.title, b.message, b.data::text as data, b.reference, b.created_at, b.expires_at
from notify.batch b
where b.id = any (%(ids)s::bigint[])
