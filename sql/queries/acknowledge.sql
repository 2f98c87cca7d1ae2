select a.recipient from notify.ack(%(recipients)s::text[], %(seqs)s::bigint[]) as a
