create or replace view notify.channels as
select c.name, c.description,
  case when c.paused_at is not null then 'paused' when s.rests > 0 then 'resting' else 'open' end as state,
  c.paused_at, case when s.rests > 0 then s.rests_until end as rests_until, c.rate, c.retry
from notify.channel c
join notify.channel_state s on s.channel = c.name
order by c.name;
comment on view notify.channels is 'The channels, and whether they are used: paused by somebody, or resting after outages.';
comment on column notify.channels.name is 'As callers write it.';
comment on column notify.channels.description is 'What it does.';
comment on column notify.channels.state is 'open, paused or resting.';
comment on column notify.channels.paused_at is 'Since when it is paused.';
comment on column notify.channels.rests_until is 'When it is tried again after outages.';
comment on column notify.channels.rate is 'Most deliveries a second.';
comment on column notify.channels.retry is 'Its part of the retry policy.';
