select s.recipient, s.notification_id, s.batch_id, s.replayed
from notify.schedule(
  recipients => %(recipients)s::text[],
  title => %(title)s::text,
  message => %(message)s::text,
  scheduled_at => case when %(past_is_now)s::boolean and %(scheduled_at)s::timestamptz <= notify.now() then null
                       else %(scheduled_at)s::timestamptz end,
  type => %(type)s::text,
  priority => %(priority)s::text,
  data => %(data)s::jsonb,
  channels => %(channels)s::text[],
  idempotency_key => %(idempotency_key)s::text,
  reference => %(reference)s::text,
  expires_at => %(expires_at)s::timestamptz,
  unknown_recipients => %(unknown_recipients)s::text,
  options => %(options)s::jsonb
) as s
