"""What a template made is stored with its batch, in every locale, and outlives the template."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from helpers.http import request
from helpers.rows import Db, column, value
from notify.templates import Contents, choose

_PATH = "/api/templates/order.shipped"
_SCHEDULE = "/api/notifications/schedule/"
TEMPLATE = {
    "default_locale": "en",
    "locales": {
        "en": {"title": "Order {{ number }}", "message": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>"},
        "de-AT": {"title": "Bestellung {{ number }}", "message": "Servus {{ name }}"},
    },
}
MADE = {
    "default_locale": "en",
    "locales": {
        "en": {"title": "Order 42", "message": "Hello <Ada>", "html": "<p>Hello &lt;Ada&gt;</p>"},
        "de-AT": {"title": "Bestellung 42", "message": "Servus <Ada>"},
    },
}
_CONTENTS = "select contents from notify.batch_option"


def templated(**changes: Any) -> dict[str, Any]:
    """A schedule request that names the template."""
    variables = {"number": 42, "name": "<Ada>"}
    return request(**({"title": ..., "message": ..., "template": "order.shipped", "variables": variables} | changes))


async def test_every_locale_is_stored_as_it_was_rendered(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    await api.put(_PATH, json=TEMPLATE)
    answer = await api.post(_SCHEDULE, json=templated(recipients=["ada", 1]))
    assert answer.status_code == 201, answer.text
    assert value(db, _CONTENTS) == MADE
    await api.put(_PATH, json=TEMPLATE | {"locales": {"en": {"title": "T", "message": "M"}}})
    await api.delete(_PATH)
    contents = msgspec.convert(value(db, _CONTENTS), Contents)
    assert choose(contents, "de_at").title == "Bestellung 42"
    assert choose(contents, "de").title == choose(contents, None).title == "Order 42"
    assert contents.default.html == "<p>Hello &lt;Ada&gt;</p>"


async def test_only_templates_have_contents(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    assert (await api.post(_SCHEDULE, json=request())).status_code == 201
    assert column(db, _CONTENTS) == []


async def test_the_largest_contents(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    texts = {"title": "T", "message": "M", "html": "{{ x }}{{ x }}{{ x }}"}
    locales = {f"en-{number:02}": texts for number in range(20)}
    await api.put(_PATH, json={"default_locale": "en-00", "locales": locales})
    answer = await api.post(_SCHEDULE, json=templated(variables={"x": '"' * 3_400}))
    assert answer.status_code == 201, answer.text
    stored = msgspec.convert(value(db, _CONTENTS), Contents)
    assert len(stored.locales) == 20
    assert stored.default.html == "&#34;" * 10_200


async def test_recipients_that_come_along_are_registered_with_it(
    api: httpx.AsyncClient, people: list[str], db: Db
) -> None:
    await api.put(_PATH, json=TEMPLATE)
    body = templated(recipients=[{"id": "new", "locale": "de-AT"}])
    answer = await api.post(_SCHEDULE, json=body, headers={"Idempotency-Key": "with-recipients"})
    assert answer.json()["count"] == 1
    assert value(db, "select locale from notify.recipient where id = 'new'") == "de-AT"
    assert value(db, _CONTENTS) == MADE
