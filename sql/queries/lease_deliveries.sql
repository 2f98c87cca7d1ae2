select id, token, attempts, tries, age, notification_id, batch_id, recipient, address, address_hash, locale, time_zone, type, priority,
  title, message, html, data, reference, scheduled_at, required, retry
from notify.lease_deliveries(%(channel)s::text, %(max_rows)s::integer, %(seconds)s::double precision)
