select notify.replay_deliveries(%(ids)s::bigint[])
