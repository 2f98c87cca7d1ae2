-- Where to LISTEN, and the cluster's part of every epoch.
select s.value as channel, rtrim(notify.epoch(0), '0') as cluster
from notify.secret s
where s.name = 'signal_channel'
