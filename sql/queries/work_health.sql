-- Of other roles' sessions one sees the name, but not the state: then they count.
select
  (select count(distinct a.application_name) from pg_stat_activity a
   where a.datname = current_database()
     and starts_with(a.application_name, 'notify-worker ' || coalesce(%(host)s::text || ':', ''))
     and (a.state is distinct from 'idle' or a.state_change > clock_timestamp() - make_interval(secs => %(silent)s))) as workers,
  (select count(*) from (select from notify.overdue limit 1000) as o) as overdue,
  coalesce(extract(epoch from (select max(o.lateness) from (select o.lateness from notify.overdue o limit 1) as o))::double precision, 0)
    as lateness,
  (select count(*) from (select from notify.dead_letters limit 1000) as d) as dead_letters
