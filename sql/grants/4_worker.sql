-- `notify worker`: sends, parks and tidies by functions, and works on Procrastinate's tables. It reads no content but what it
-- leases to send outside.
grant usage on schema notify, notify_jobs to notify_worker;
grant execute on function
  notify.drain, notify.pick, notify.park, notify.plan, notify.tidy, notify.rescue_deliveries, notify.delete_cancelled,
  notify.delete_old, notify.register_channels, notify.lease_deliveries, notify.record_attempts, notify.release_deliveries,
  notify.release_held, notify.next_deliveries, notify.plan_deliveries, notify.installation, notify.unsubscribe_key, notify.now
to notify_worker;
grant select on notify.migration, notify.overdue, notify.dead_letters to notify_worker;
grant select, insert, update, delete on all tables in schema notify_jobs to notify_worker;
grant usage, select, update on all sequences in schema notify_jobs to notify_worker;
grant execute on all routines in schema notify_jobs to notify_worker;
