select exists (select from notify.batch b where b.id = %(id)s::bigint)
