select notify.delete_template(%(name)s::text)
