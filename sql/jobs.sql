-- What is changed of Procrastinate's schema; applied again whenever Procrastinate's own files changed.
-- Its functions name its tables as if notify_jobs were in every session's search path. The triggers among them run for
-- whoever changes a row: without this, psql cannot delete a job.
do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid from pg_proc p where p.pronamespace = 'notify_jobs'::regnamespace and p.prokind = 'f'
  loop
    execute format('alter function %s set search_path = notify_jobs, pg_catalog, pg_temp', v_function);
  end loop;
end
$$;
