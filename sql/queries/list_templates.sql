select t.name, t.version, t.default_locale, t.locales, t.created_at
from notify.list_templates(%(after)s::text, %(limit)s::bigint) as t
