-- Its result is the cluster's part of every epoch.
select notify.listen()
