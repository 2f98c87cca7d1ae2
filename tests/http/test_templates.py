"""Templates over HTTP: stored, looked at, deleted, tried out, and named by schedule requests."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from helpers.http import Make, assert_problem, nested, request
from helpers.rows import Db, column, one, stored, value
from helpers.wait import until_async
from notify import cursor

_PATH = "/api/templates/order.shipped"
_SCHEDULE = "/api/notifications/schedule/"
EN = {"title": "Order {{ number }}", "message": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>"}
DE = {"title": "Bestellung {{ number }}", "message": "Hallo {{ name }}"}
TEMPLATE: dict[str, Any] = {"default_locale": "en", "locales": {"en": EN, "de": DE}}
VARIABLES = {"number": 42, "name": "<Ada>"}


def template(**changes: Any) -> dict[str, Any]:
    """TEMPLATE with parts of its English changed; a change to ... takes the part away."""
    english = {name: text for name, text in (EN | changes).items() if text is not ...}
    return TEMPLATE | {"locales": {"en": english, "de": DE}}


def templated(**changes: Any) -> dict[str, Any]:
    """A schedule request that names the template."""
    made: dict[str, Any] = {"title": ..., "message": ..., "template": "order.shipped", "variables": VARIABLES}
    return request(**(made | changes))


async def test_each_change_makes_a_version(api: httpx.AsyncClient) -> None:
    answer = await api.put(_PATH, json=TEMPLATE)
    first = answer.json()
    assert answer.status_code == 201
    about = {"name": "order.shipped", "version": 1, "variables": ["name", "number"], "created_at": first["created_at"]}
    assert first == TEMPLATE | about
    again = await api.put(_PATH, json=TEMPLATE)
    assert (again.status_code, again.json()) == (200, first)
    changed = await api.put(_PATH, json=template(title="{{ title }}", html=...))
    assert (changed.status_code, changed.json()["version"]) == (201, 2)
    assert changed.json()["variables"] == ["name", "number", "title"]
    assert "html" not in changed.json()["locales"]["en"]
    assert (await api.get(_PATH)).json() == changed.json()
    assert (await api.get(f"{_PATH}/?version=1")).json() == first
    assert_problem(await api.get(f"{_PATH}?version=3"), 404, "not-found")


async def test_two_at_once_make_one_version(api: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(api.put(_PATH, json=TEMPLATE) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert {answer.json()["version"] for answer in answers} == {1}


async def test_pages_of_the_newest_by_name(api: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await api.put(f"/api/templates/{name}", json=TEMPLATE)
    await api.put("/api/templates/b", json=template(title="T"))
    page = (await api.get("/api/templates?limit=2")).json()
    assert [(item["name"], item["version"]) for item in page["items"]] == [("a", 1), ("b", 2)]
    assert page["items"][0].keys() == {"name", "version", "default_locale", "locales", "created_at"}
    assert page["items"][0]["locales"] == ["de", "en"]
    last = (await api.get("/api/templates", params={"cursor": page["next_cursor"]})).json()
    assert [item["name"] for item in last["items"]] == ["c"]
    assert last["next_cursor"] is None
    for wrong in ("", "x", cursor.encode(["id", 1]), cursor.encode(["name", "a" * 65]), cursor.encode(["name", 1])):
        assert_problem(await api.get("/api/templates", params={"cursor": wrong}), 400, "invalid-value", "cursor")
    assert_problem(await api.get("/api/templates?limit=1001"), 400, field="limit")


async def test_deleting_takes_all_versions(api: httpx.AsyncClient, db: Db) -> None:
    await api.put(_PATH, json=TEMPLATE)
    await api.put(_PATH, json=template(title="T"))
    key = {"Idempotency-Key": "gone"}
    answers = [await api.delete(_PATH, headers=key) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert_problem(await api.delete(_PATH), 404, "not-found")
    assert_problem(await api.get(_PATH), 404, "not-found")
    assert column(db, "select name from notify.template") == []
    assert (await api.put(_PATH, json=TEMPLATE)).json()["version"] == 1


BAD: list[tuple[str, Any, str]] = [
    ("locales.en.title", template(title="{{ number"), "line 1"),
    ("locales.en.html", template(html="{% if false %}{{ name|nosuch }}{% endif %}"), "no filter named `nosuch`"),
    ("locales.en.message", template(message="{{ name.upper() }}"), "calls"),
    ("locales.en.message", template(message="{% include 'x' %}"), "`include`"),
    ("locales[...].title", template(title=""), "empty"),
    ("locales[...].html", template(html="x" * 65_537), "65536"),
    ("locales.en.html", template(html="é" * 65_536), "65536"),
    ("locales[...].title", template(title="a\x00"), "NUL"),
    ("locales[...].message", template(message=...), "must be given"),
    ("locales[...].sms", template(sms="x"), "not known"),
    ("locales", TEMPLATE | {"locales": {}}, "empty"),
    ("locales", TEMPLATE | {"locales": {f"en-{number:02}": EN for number in range(21)}}, "20"),
    ("locales", TEMPLATE | {"locales": {"en": EN, "German, please": DE}}, "language tags"),
    ("locales", TEMPLATE | {"locales": {"en": EN, "EN": DE}}, "same"),
    ("default_locale", TEMPLATE | {"default_locale": "fr"}, "one of locales"),
    ("default_locale", {"locales": {"en": EN}}, "must be given"),
    ("name", TEMPLATE | {"name": "x"}, "not known"),
]


async def test_bad_templates_are_refused_when_they_are_stored(api: httpx.AsyncClient, db: Db) -> None:
    for field, body, reason in BAD:
        problem = assert_problem(await api.put(_PATH, json=body), 400)
        assert reason in problem["detail"], (field, problem)
        # The validation tells where in an object of any keys only roughly.
        assert problem["field"] in (field, "locales.en.title"), problem
    for name in ("Order", "9", "a" * 65, "a%2Fb", "a%00", "%FF", "a%0A"):
        for method in ("GET", "PUT", "DELETE"):
            body = TEMPLATE if method == "PUT" else None
            answer = await api.request(method, f"/api/templates/{name}", json=body)
            assert_problem(answer, 400, "invalid-value", "name")
        assert_problem(await api.post(f"/api/templates/{name}/preview", json={}), 400, "invalid-value", "name")
    for version in ("0", "x", "2147483648"):
        assert_problem(await api.get(f"{_PATH}?version={version}"), 400, field="version")
    assert value(db, "select count(*) from notify.template") == 0


async def test_the_largest_template(api: httpx.AsyncClient) -> None:
    locales = {f"en-{number:02}": EN | {"html": "é" * 26_000} for number in range(20)}
    answer = await api.put(_PATH, json={"default_locale": "en-07", "locales": locales})
    assert answer.status_code == 201
    assert (await api.get(_PATH)).json()["locales"] == locales


async def test_what_was_stored_unchecked_can_be_looked_at(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    db.execute('select notify.put_template(\'order.shipped\', \'en\', \'{"en": {"title": "{{", "message": "M"}}\')')
    assert (await api.get(_PATH)).json()["variables"] is None
    problem = assert_problem(await api.post(_SCHEDULE, json=templated()), 400, "invalid-value", "template")
    assert "locales.en.title of template order.shipped" in problem["detail"]
    assert_problem(await api.post(f"{_PATH}/preview", json={}), 400, "invalid-value", "locales.en.title")


@pytest.mark.parametrize(
    ("locale", "chosen"),
    [(None, "en"), ("en", "en"), ("de", "de"), ("DE_at", "de"), ("fr-CA", "en")],
)
async def test_preview(api: httpx.AsyncClient, locale: str | None, chosen: str) -> None:
    await api.put(_PATH, json=TEMPLATE)
    answer = await api.post(f"{_PATH}/preview", json={"variables": VARIABLES, "locale": locale})
    made: dict[str, dict[str, str | None]] = {
        "en": {"title": "Order 42", "message": "Hello <Ada>", "html": "<p>Hello &lt;Ada&gt;</p>"},
        "de": {"title": "Bestellung 42", "message": "Hallo <Ada>", "html": None},
    }
    assert (answer.status_code, answer.json()) == (200, {"locale": chosen, **made[chosen]})


async def test_preview_of_versions_and_of_what_is_not_stored(api: httpx.AsyncClient, db: Db) -> None:
    path = f"{_PATH}/preview"
    tried = {"template": template(title="{{ number + 1 }}"), "variables": VARIABLES}
    assert (await api.post(path, json=tried)).json()["title"] == "43"
    assert_problem(await api.post(path, json={"variables": VARIABLES}), 404, "not-found")
    assert_problem(await api.post(path), 404, "not-found")
    await api.put(_PATH, json=TEMPLATE)
    await api.put(_PATH, json=template(title="{{ number * 2 }}"))
    titles = [
        (await api.post(path, json={"variables": VARIABLES} | more)).json()["title"]
        for more in ({}, {"version": 1}, {"version": 2}, {"version": None})
    ]
    assert titles == ["84", "Order 42", "84", "84"]
    assert_problem(await api.post(path, json={"version": 3}), 404, "not-found")
    assert_problem(await api.post(path, json=tried | {"version": 1}), 400, field="version")
    assert value(db, "select count(*) from notify.template") == 2


async def test_preview_refuses_what_scheduling_would(api: httpx.AsyncClient) -> None:
    await api.put(_PATH, json=TEMPLATE)
    path = f"{_PATH}/preview"
    problem = assert_problem(await api.post(path, json={"variables": {"number": 1}}), 400, field="variables.name")
    assert problem["detail"] == "locales.de.message of template order.shipped: the variable `name` is missing"
    # In another locale than the one to be shown.
    tried: dict[str, Any] = {"template": template(message="M", html=...), "locale": "en", "variables": {"number": 1}}
    assert "locales.de.message" in assert_problem(await api.post(path, json=tried), 400)["detail"]
    for wrong, field in (("{{ x", "template.locales.en.title"), ("{{ 'a\nb' }}", "template.locales.en.title")):
        body = {"template": template(title=wrong), "variables": VARIABLES}
        assert_problem(await api.post(path, json=body), 400, "invalid-value", field)
    body = {"template": TEMPLATE | {"default_locale": "fr"}}
    assert_problem(await api.post(path, json=body), 400, "invalid-value", "template.default_locale")


VARIABLES_REFUSED: list[tuple[Any, str, str]] = [
    ([], "invalid-value", "object"),
    (None, "invalid-value", "object"),
    ({"a": "x" * 16_384}, "limit-exceeded", "16384"),
    (nested(65), "limit-exceeded", "64"),
]


async def test_variables_are_an_object_like_data(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    await api.put(_PATH, json=TEMPLATE)
    for wrong, slug, reason in VARIABLES_REFUSED:
        for path, body in ((f"{_PATH}/preview", {"variables": wrong}), (_SCHEDULE, templated(variables=wrong))):
            problem = assert_problem(await api.post(path, json=body), 400, slug, "variables")
            assert reason in problem["detail"]
    assert stored(db) == (0, 0, 0)


async def test_a_batch_says_what_the_default_locale_says(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    await api.put(_PATH, json=TEMPLATE)
    answer = await api.post(_SCHEDULE, json=templated(recipients=["ada", 1, "nobody"], data={"a": 1}))
    assert answer.status_code == 201, answer.text
    assert (answer.json()["count"], answer.json()["skipped"]) == (2, ["nobody"])
    row = one(db, "select title, message, data from notify.batch")
    assert row == {"title": "Order 42", "message": "Hello <Ada>", "data": {"a": 1}}
    shown = (await api.get(f"/api/notifications/{answer.json()['notification_ids'][0]}")).json()
    assert (shown["title"], shown["message"]) == ("Order 42", "Hello <Ada>")


async def test_a_version_can_be_asked_for(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    await api.put(_PATH, json=TEMPLATE)
    await api.put(_PATH, json=template(title="second"))
    for version in (1, 2, None):
        answer = await api.post(_SCHEDULE, json=templated(template_version=version))
        assert answer.status_code == 201, answer.text
    assert column(db, "select title from notify.batch order by id") == ["Order 42", "second", "second"]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"title": "T"}, "title", "must not be given"),
    ({"message": "M"}, "message", "must not be given"),
    ({"template": "nobody"}, "template", "no template nobody"),
    ({"template": "No Name"}, "template", "letter"),
    ({"template": 7}, "template", "int"),
    ({"template_version": 9}, "template_version", "no version 9"),
    ({"template_version": 0}, "template_version", "1"),
    ({"template": None}, "title", "must be given"),
    ({"template": ..., "title": "T"}, "message", "must be given"),
    ({"template": ..., "title": "T", "message": "M"}, "variables", "not given"),
    ({"template": ..., "title": "T", "message": "M", "template_version": 1}, "template_version", "not given"),
    ({"variables": {"number": 42}}, "variables.name", "locales.de.message of template order.shipped"),
    ({"variables": ...}, "variables.number", "locales.de.title of template order.shipped"),
    ({"variables": VARIABLES | {"number": "1\n2"}}, "template", "locales.de.title of template order.shipped"),
    ({"variables": VARIABLES | {"number": "x" * 200}}, "template", "200 characters"),
    ({"variables": VARIABLES | {"number": None}}, "template", "null"),
]  # fmt: skip


async def test_refused_when_scheduling(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    await api.put(_PATH, json=TEMPLATE)
    for changes, field, reason in REFUSED:
        body = templated(recipients=[{"id": "new", "locale": "de"}], **changes)
        problem = assert_problem(await api.post(_SCHEDULE, json=body), 400, field=field)
        assert reason in problem["detail"], (changes, problem)
        assert stored(db) == (0, 0, 0), changes
    assert value(db, "select count(*) from notify.recipient") == len(people)


async def test_the_first_answer_holds_whatever_becomes_of_the_template(
    api: httpx.AsyncClient, people: list[str], db: Db
) -> None:
    body, key = templated(), {"Idempotency-Key": "order-42"}
    assert_problem(await api.post(_SCHEDULE, json=body, headers=key), 400, "invalid-value", "template")
    await api.put(_PATH, json=TEMPLATE)
    first = await api.post(_SCHEDULE, json=body, headers=key)
    assert first.status_code == 201
    await api.put(_PATH, json=template(title="{{ other }}"))
    for _ in range(2):
        again = await api.post(_SCHEDULE, json=body, headers=key)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        await api.delete(_PATH)
    other = templated(variables=VARIABLES | {"name": "Bob"})
    assert_problem(await api.post(_SCHEDULE, json=other, headers=key), 422, "idempotency-key-reused")
    assert stored(db)[:2] == (1, 1)


async def test_who_may_schedule_may_use_templates_and_not_change_them(
    api: httpx.AsyncClient, client_with: Make, key_of: Any, people: list[str]
) -> None:
    await api.put(_PATH, json=TEMPLATE)
    client = client_with(key_of("schedule"))
    assert (await client.post(_SCHEDULE, json=templated())).status_code == 201
    for method, path in (("PUT", _PATH), ("GET", _PATH), ("DELETE", _PATH), ("POST", f"{_PATH}/preview")):
        assert_problem(await client.request(method, path, json=TEMPLATE), 403, "not-allowed")


async def test_a_bomb_stops_nobody_else(api: httpx.AsyncClient, people: list[str]) -> None:
    loop = "{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}x"
    await api.put(_PATH, json={"default_locale": "en", "locales": {"en": {"title": "T", "message": loop}}})
    bomb = asyncio.create_task(api.post(_SCHEDULE, json=templated(variables={"x": [0] * 8_000})))
    others = 0

    async def is_done() -> bool:
        nonlocal others
        assert (await api.get("/health/live")).status_code == 200
        others += 1
        return bomb.done()

    await until_async(is_done, 60)
    problem = assert_problem(await bomb, 400, "limit-exceeded", "template")
    assert "500000 steps" in problem["detail"]
    assert others > 1


async def test_preview_takes_language_tags(api: httpx.AsyncClient) -> None:
    for wrong in ("", "German, please", "de-", "a" * 1_000, "-a" * 100_000, "not a tag"):
        body = {"template": TEMPLATE, "variables": VARIABLES, "locale": wrong}
        assert_problem(await api.post(f"{_PATH}/preview", json=body), 400, "invalid-value", "locale")
