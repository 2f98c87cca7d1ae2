create or replace view notify.overdue as
select n.id, n.recipient, n.priority, n.due_at, notify.now() - n.due_at as lateness, n.batch_id
from notify.notification n
where n.status = 'pending' and n.due_at <= notify.now()
order by n.due_at, n.id;
comment on view notify.overdue is 'Pending though due. A healthy service shows nothing here for longer than a fraction of a second.';
comment on column notify.overdue.id is 'Notification.';
comment on column notify.overdue.recipient is 'Who waits for it.';
comment on column notify.overdue.priority is 'low, normal, high or urgent.';
comment on column notify.overdue.due_at is 'When it should have been sent.';
comment on column notify.overdue.lateness is 'How late it is by now.';
comment on column notify.overdue.batch_id is 'Its batch.';
