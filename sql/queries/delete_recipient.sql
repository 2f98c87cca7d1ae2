select notify.delete_recipient(%(id)s::text)
