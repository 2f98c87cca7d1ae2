select
  (select count(*) from notify_jobs.procrastinate_workers w where w.last_heartbeat > clock_timestamp() - interval '40 seconds') as workers,
  (select count(*) from (select from notify.overdue limit 1000) as o) as overdue,
  coalesce(extract(epoch from (select max(o.lateness) from (select o.lateness from notify.overdue o limit 1) as o))::double precision, 0)
    as lateness,
  (select count(*) from (select from notify.dead_letters limit 1000) as d) as dead_letters
