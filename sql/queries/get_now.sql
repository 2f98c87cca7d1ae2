select notify.now()
