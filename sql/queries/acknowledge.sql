select a.recipient from notify.ack(%(recipients)s::text[], %(generations)s::bigint[], %(seqs)s::bigint[]) as a
