-- The rows that a drain would pick; locked only as long as this statement runs.
select unnest(notify.pick(%(max_rows)s::integer, null, %(avoid)s::text[], %(quarantine)s::bigint[], null)) as id
