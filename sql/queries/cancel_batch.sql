select notify.cancel_batches(array[%(id)s::bigint])
