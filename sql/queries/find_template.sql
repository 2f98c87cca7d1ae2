select t.name, t.version, t.default_locale, t.locales, t.created_at
from notify.find_template(%(template)s::text, %(version)s::integer) as t
