select t.version, t.created from notify.put_template(%(name)s::text, %(default_locale)s::text, %(locales)s::jsonb) as t
