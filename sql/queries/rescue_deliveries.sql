select notify.rescue_deliveries(%(max_rows)s::integer)
