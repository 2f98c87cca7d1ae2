select s.value from notify.secret s where s.name = 'token_key'
