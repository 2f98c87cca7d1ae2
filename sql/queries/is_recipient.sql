select exists (select from notify.recipient r where r.id = %(id)s::text)
