select notify.release_deliveries(%(ids)s::bigint[], %(tokens)s::uuid[])
