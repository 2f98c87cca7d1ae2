select notify.installation() as installation, notify.unsubscribe_key() as unsubscribe_key
