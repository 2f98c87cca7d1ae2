select c.channel, c.status, c.code, c.deliveries from notify.delivery_counts c
