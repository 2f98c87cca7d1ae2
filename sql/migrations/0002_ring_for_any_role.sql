-- Before Postgres 18 a deferred trigger runs as the role that the session has at its commit, and not as the one that changed the
-- row. Whoever may execute schedule() and nothing else could not ring. Like every door it runs as its owner.
alter function notify.ring_at_commit() security definer set search_path = pg_catalog, pg_temp;

comment on column notify.migration.name is
  'procrastinate/<file>, migrations/<file>, or jobs, functions, views and grants, which are applied again when they change';
