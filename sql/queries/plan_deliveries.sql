select notify.plan_deliveries()
