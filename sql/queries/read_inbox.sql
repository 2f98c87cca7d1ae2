-- Mailbox, items and contents in one snapshot. `data` as text: through Python's floats it would lose digits.
with box as materialized (
  select m.recipient, notify.epoch(m.generation) as epoch, m.last_seq, m.unread
  from notify.mailbox m
  where m.recipient = %(recipient)s::text
)
select x.epoch, x.last_seq, x.unread, n.seq, n.id, n.batch_id, n.scheduled_at, n.sent_at, n.read_at,
  n.type, n.priority, n.title, n.message, n.data, n.reference, n.created_at, n.expires_at
from box x
left join lateral (
  select s.seq, s.id, s.batch_id, s.due_at as scheduled_at, s.sent_at, s.read_at,
    b.type, b.priority, b.title, b.message, b.data::text as data, b.reference, b.created_at, b.expires_at
  from notify.notification s
  join notify.batch b on b.id = s.batch_id
  where s.recipient = x.recipient and s.seq > %(after)s::bigint
  order by s.seq
  limit %(limit)s::bigint
) n on true
order by n.seq
