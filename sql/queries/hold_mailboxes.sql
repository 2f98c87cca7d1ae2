-- Until the transaction ends these recipients cannot be deleted. Locked as a new notification's foreign key locks them,
-- and in recipient order, as by every writer.
select m.recipient
from notify.mailbox m
where m.recipient = any (%(ids)s::text[])
order by m.recipient
for key share of m
