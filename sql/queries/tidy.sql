select t.answers, t.wakeups, t.jobs from notify.tidy(make_interval(hours => %(keep_hours)s::integer), %(max_rows)s::integer) as t
