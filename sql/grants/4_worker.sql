-- `notify worker`: sends, parks and tidies by functions, and works on Procrastinate's tables. It reads no content.
grant usage on schema notify, notify_jobs to notify_worker;
grant execute on function
  notify.drain, notify.pick, notify.park, notify.plan, notify.tidy, notify.rescue_deliveries, notify.delete_cancelled,
  notify.delete_old, notify.now
to notify_worker;
grant select on notify.migration, notify.overdue, notify.dead_letters to notify_worker;
grant select, insert, update, delete on all tables in schema notify_jobs to notify_worker;
grant usage, select, update on all sequences in schema notify_jobs to notify_worker;
grant execute on all routines in schema notify_jobs to notify_worker;
