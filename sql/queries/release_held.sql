select notify.release_held(%(max_rows)s::integer)
