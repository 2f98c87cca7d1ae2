select notify.delete_template(%(template)s::text)
