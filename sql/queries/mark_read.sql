select r.marked, r.unread, r.last_seq from notify.mark_read(%(recipient)s::text, %(ids)s::bigint[], %(up_to_seq)s::bigint) as r
