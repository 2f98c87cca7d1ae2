select notify.cancel_reference(%(reference)s::text)
