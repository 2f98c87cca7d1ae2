select notify.unsubscribe_key()
