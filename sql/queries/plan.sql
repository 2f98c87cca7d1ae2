select notify.plan()
