-- Mailbox and notifications in one snapshot. `after` null: go on behind what was acknowledged.
with box as materialized (
  select m.recipient, m.generation, notify.epoch(m.generation) as epoch, m.last_seq, m.unread, m.acked_seq, m.floor_seq
  from notify.mailbox m
  where m.recipient = %(recipient)s::text
)
select x.generation, x.epoch, x.last_seq, x.unread, x.acked_seq, x.floor_seq,
  n.seq, n.id, n.batch_id, n.scheduled_at, n.sent_at
from box x
left join lateral (
  select s.seq, s.id, s.batch_id, s.due_at as scheduled_at, s.sent_at
  from notify.notification s
  where s.recipient = x.recipient and s.seq > coalesce(%(after)s::bigint, x.acked_seq)
  order by s.seq
  limit %(limit)s::bigint
) n on true
order by n.seq
