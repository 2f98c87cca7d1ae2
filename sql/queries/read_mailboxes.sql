select m.recipient, m.generation, m.last_seq, m.unread
from notify.mailbox m
where m.recipient = any (%(recipients)s::text[])
