"""Templates: the texts of a notification with variables in them, in many locales. All of it is pure; storing is SQL's.

    check(template)              refuses what can never be rendered, naming locale and part
    variables_of(template)       the names that it asks for
    render(template, variables)  every locale at once, so that what is wrong with any is told when scheduling
    choose(contents, locale)     the texts for a recipient: exact, then shorter tags, then the default

`contents` has the shapes and the choice of a locale, `rendering` the three others. Templates are Jinja, in a sandbox
that trusts nobody: `language` says what may stand in one, and puts `inner` into it; `filters`, `works` and `values` are
what can be done with values, `sandbox` is what is within reach (JSON values, and nothing else), `meter` what all of it
may cost, and `faults` why one cannot be rendered.
"""

from notify.templates.contents import Contents, Template, Texts, choose, locale_for
from notify.templates.rendering import check, check_locale, check_name, render, variables_of

__all__ = [
    "Contents",
    "Template",
    "Texts",
    "check",
    "check_locale",
    "check_name",
    "choose",
    "locale_for",
    "render",
    "variables_of",
]
