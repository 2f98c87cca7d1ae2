"""Templates of one locale, rendered and refused."""

from __future__ import annotations

from typing import Any

import pytest

from notify.errors import InvalidValue
from notify.templates import Template, Texts, render


def one_locale(texts: Texts, *, name: str = "") -> Template:
    """A template with these texts, in English."""
    return Template(name=name, default_locale="en", locales={"en": texts})


def rendered(source: str, **variables: Any) -> str:
    """The message that the source makes of these variables."""
    return render(one_locale(Texts("T", source)), variables).default.message


def refused(source: str, field: str, **variables: Any) -> str:
    """The words in which a message's source is refused, naming this field."""
    with pytest.raises(InvalidValue) as caught:
        render(one_locale(Texts("T", source), name="order.shipped"), variables)
    assert caught.value.field == field, str(caught.value)
    return str(caught.value)
