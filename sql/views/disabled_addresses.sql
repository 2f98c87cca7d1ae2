create or replace view notify.disabled_addresses as
select e.recipient, e.channel, e.failing_since, e.disabled_at, e.disabled_reason as reason
from notify.endpoint e
join notify.recipient r on r.id = e.recipient
where e.disabled_at is not null and e.address_hash = md5((r.addresses -> e.channel)::text)
order by e.disabled_at desc;
comment on view notify.disabled_addresses is 'Addresses that nothing is sent to any more; enable_address() or another address changes that.';
comment on column notify.disabled_addresses.recipient is 'Whose address.';
comment on column notify.disabled_addresses.channel is 'On which channel.';
comment on column notify.disabled_addresses.failing_since is 'Since when nothing got through.';
comment on column notify.disabled_addresses.disabled_at is 'When it was disabled.';
comment on column notify.disabled_addresses.reason is 'Why.';
