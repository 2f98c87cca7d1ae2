-- JSON as text: through Python's floats it would lose digits. Another address than the one that was disabled is in use.
select r.id, r.time_zone, r.locale, r.addresses::text as addresses, r.preferences::text as preferences,
  (
    select coalesce(jsonb_object_agg(e.channel, jsonb_build_object('disabled_at', e.disabled_at, 'reason', e.disabled_reason)), '{}')
    from notify.endpoint e
    where e.recipient = r.id and e.disabled_at is not null and e.address_hash = md5((r.addresses -> e.channel)::text)
  ) as disabled,
  r.created_at, r.updated_at
from notify.recipient r
where r.id = %(id)s::text
