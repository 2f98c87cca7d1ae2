create or replace view notify.due as
select n.id, n.recipient, b.title, n.priority, n.due_at, n.due_at - notify.now() as due_in, n.batch_id, b.reference
from notify.notification n
join notify.batch b on b.id = n.batch_id
where n.status = 'pending'
order by n.due_at, n.id;
comment on view notify.due is 'Everything pending, the next first. Add a limit: there may be millions.';
comment on column notify.due.id is 'Notification.';
comment on column notify.due.recipient is 'Who receives it.';
comment on column notify.due.title is 'Its title.';
comment on column notify.due.priority is 'low, normal, high or urgent.';
comment on column notify.due.due_at is 'When it is to be sent.';
comment on column notify.due.due_in is 'How long until then; negative: overdue.';
comment on column notify.due.batch_id is 'Its batch.';
comment on column notify.due.reference is 'The caller''s own key.';
