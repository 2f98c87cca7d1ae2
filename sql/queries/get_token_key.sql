select notify.token_key()
