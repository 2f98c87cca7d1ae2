create or replace view notify.status_counts as
select s.status, count(n.id) as notifications, min(n.due_at) as earliest_due, max(n.due_at) as latest_due
from unnest(enum_range(null::notify.status)) as s (status)
left join notify.notification n on n.status = s.status
group by s.status
order by s.status;
comment on view notify.status_counts is 'How many notifications stand in each status. Reads every row: for people, not for dashboards that poll.';
comment on column notify.status_counts.status is 'pending, sending, sent, cancelled or failed.';
comment on column notify.status_counts.notifications is 'How many.';
comment on column notify.status_counts.earliest_due is 'Earliest due time among them.';
comment on column notify.status_counts.latest_due is 'Latest due time among them.';
