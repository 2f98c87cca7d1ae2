-- JSON as text: through Python's floats it would lose digits.
select r.id, r.time_zone, r.locale, r.addresses::text as addresses, r.preferences::text as preferences, r.created_at, r.updated_at
from notify.recipient r
where r.id = %(id)s::text
