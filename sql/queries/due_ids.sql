-- The rows that a drain would pick; locked only as long as this statement runs.
select unnest(p.ids) as id from notify.pick(%(max_rows)s::integer, null, %(avoid)s::text[], %(quarantine)s::bigint[], null, '{}') p
