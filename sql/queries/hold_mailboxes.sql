select notify.hold_mailboxes(%(ids)s::text[])
