-- A type about which nothing was said has the defaults.
select g.name, coalesce(t.required, false) as required, t.paused_at, t.retry
from (select %(type)s::text as name) as g
left join notify.type t on t.name = g.name
