select channel, due_in from notify.next_deliveries()
