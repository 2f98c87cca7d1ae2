-- When a batch that was asked for now is due; the clock where nothing was stored.
select coalesce((select b.scheduled_at from notify.batch b where b.id = %(batch_id)s::bigint), notify.now())
