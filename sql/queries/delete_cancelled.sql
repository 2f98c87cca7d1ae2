select d.deleted, d.batches from notify.delete_cancelled(make_interval(days => %(days)s::integer), %(max_rows)s::integer) as d
