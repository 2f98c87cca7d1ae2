-- Who may do what, one file a role; applied again whenever any file of this folder, a function, a view or a migration changed.
-- First everything is notify_owner's and nobody else's: what an earlier version granted and this one does not is taken back so,
-- and what is new is nobody's until a file here says otherwise. All of it commits at once.
--
-- Tables, views and sequences change their owner one by one afterwards (see postgres/migrate.py), as each has to be locked
-- for it. Until then the grants here let the functions do their work.
do $$
declare
  v_statement text;
begin
  for v_statement in
    select format('alter schema %I owner to notify_owner', n.nspname)
    from pg_namespace n where n.nspname in ('notify', 'notify_jobs') and n.nspowner <> 'notify_owner'::regrole
  loop
    execute v_statement;
  end loop;
  for v_statement in
    select format('alter routine %s owner to notify_owner', p.oid::regprocedure)
    from pg_proc p where p.pronamespace in ('notify'::regnamespace, 'notify_jobs'::regnamespace) and p.proowner <> 'notify_owner'::regrole
    union all
    -- Not the row types of tables, which go with them.
    select format('alter type %s owner to notify_owner', t.oid::regtype)
    from pg_type t left join pg_class c on c.oid = t.typrelid
    where t.typnamespace in ('notify'::regnamespace, 'notify_jobs'::regnamespace) and t.typowner <> 'notify_owner'::regrole
      and (t.typtype in ('e', 'd') or c.relkind = 'c')
  loop
    execute v_statement;
  end loop;
end
$$;

revoke all on schema notify, notify_jobs from public, notify_api, notify_worker, notify_app;
revoke all on all tables in schema notify, notify_jobs from public, notify_api, notify_worker, notify_app;
revoke all on all sequences in schema notify, notify_jobs from public, notify_api, notify_worker, notify_app;
revoke all on all routines in schema notify, notify_jobs from public, notify_api, notify_worker, notify_app;

grant all on all tables in schema notify, notify_jobs to notify_owner;
grant all on all sequences in schema notify, notify_jobs to notify_owner;
