select t.version, t.created from notify.put_template(%(template)s::text, %(default_locale)s::text, %(locales)s::jsonb) as t
