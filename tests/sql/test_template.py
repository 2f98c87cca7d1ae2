"""Templates in the database: versions, what is refused, and one writer at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.types.json import Jsonb

from conftest import Connect
from helpers import wait
from helpers.rows import Db, Row, call, call_one, column, refused, value

EN = {"en": {"title": "T", "message": "M"}}


def put(db: Db, name: str = "order.shipped", locales: Any = EN, default_locale: str | None = "en") -> tuple[int, bool]:
    row = call_one(db, "put_template", p_name=name, p_default_locale=default_locale, p_locales=Jsonb(locales))
    return row["version"], row["created"]


def find(db: Db, name: str, version: int | None = None) -> Row | None:
    rows = call(db, "find_template", p_name=name, p_version=version)
    assert len(rows) <= 1
    return rows[0] if rows else None


def texts(title: str) -> dict[str, Any]:
    return {"en": {"title": title, "message": "M"}}


def test_each_change_makes_a_version(tx: Db) -> None:
    assert put(tx) == (1, True)
    assert put(tx) == (1, False)
    both = EN | {"de": {"title": "T", "message": "M", "html": "<p>"}}
    assert put(tx, locales=both) == (2, True)
    assert put(tx, locales=dict(reversed(both.items()))) == (2, False)
    assert put(tx, locales=both, default_locale="de") == (3, True)
    assert put(tx) == (4, True)
    assert put(tx, name="other") == (1, True)
    newest, third = find(tx, "order.shipped"), find(tx, "order.shipped", 3)
    assert newest is not None
    assert third is not None
    assert (newest["version"], newest["locales"], newest["default_locale"]) == (4, EN, "en")
    assert (third["version"], third["locales"], third["default_locale"]) == (3, both, "de")
    assert find(tx, "order.shipped", 5) is None
    assert find(tx, "nobody") is None


def test_the_newest_hundred_are_kept(tx: Db) -> None:
    put(tx, name="other")
    for number in range(103):
        assert put(tx, locales=texts(str(number))) == (number + 1, True)
    assert column(tx, "select version from notify.template where name = 'order.shipped' order by 1") == [*range(4, 104)]
    assert find(tx, "other") is not None


def test_lists_the_newest_by_name(tx: Db) -> None:
    for name in ("b", "a", "a-b", "a.b", "ab"):
        put(tx, name=name)
    put(tx, name="a", locales=EN | {"de-AT": EN["en"], "de": EN["en"]})
    rows = call(tx, "list_templates", p_after=None, p_limit=10)
    assert [row["name"] for row in rows] == ["a", "a-b", "a.b", "ab", "b"]
    assert (rows[0]["version"], rows[0]["default_locale"], rows[0]["locales"]) == (2, "en", ["de", "de-AT", "en"])
    rows = call(tx, "list_templates", p_after="a-b", p_limit=2)
    assert [row["name"] for row in rows] == ["a.b", "ab"]


def test_deletes_all_versions(tx: Db) -> None:
    put(tx)
    put(tx, locales=texts("2"))
    put(tx, name="other")
    assert value(tx, "select notify.delete_template('order.shipped')") is True
    assert value(tx, "select notify.delete_template('order.shipped')") is False
    assert column(tx, "select name from notify.template") == ["other"]
    assert put(tx) == (1, True)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "NT001", "name"),
    ({"name": "Order"}, "NT001", "name"),
    ({"name": "a" * 65}, "NT001", "name"),
    ({"name": "a\n"}, "NT001", "name"),
    ({"name": "9"}, "NT001", "name"),
    ({"name": None}, "NT001", "name"),
    ({"default_locale": "de"}, "NT001", "default_locale"),
    ({"default_locale": None}, "NT001", "default_locale"),
    ({"locales": None}, "NT001", "locales"),
    ({"locales": []}, "NT001", "locales"),
    ({"locales": {}}, "NT001", "locales"),
    ({"locales": EN | {"": EN["en"]}}, "NT001", "locales"),
    ({"locales": EN | {"not a tag": EN["en"]}}, "NT001", "locales"),
    ({"locales": EN | {"EN": EN["en"]}}, "NT001", "locales"),
    ({"locales": EN | {"de-AT": EN["en"], "de_at": EN["en"]}}, "NT001", "locales"),
    ({"locales": {f"en-{n:02}": EN["en"] for n in range(21)}, "default_locale": "en-00"}, "NT003", "locales"),
    ({"locales": {"en": "T"}}, "NT001", "locales.en"),
    ({"locales": {"en": {"title": "T"}}}, "NT001", "locales.en"),
    ({"locales": {"en": {"message": "M"}}}, "NT001", "locales.en"),
    ({"locales": {"en": EN["en"] | {"sms": "x"}}}, "NT001", "locales.en.sms"),
    ({"locales": {"en": EN["en"] | {"title": ""}}}, "NT001", "locales.en.title"),
    ({"locales": {"en": EN["en"] | {"title": None}}}, "NT001", "locales.en.title"),
    ({"locales": {"en": EN["en"] | {"html": 7}}}, "NT001", "locales.en.html"),
    ({"locales": {"en": EN["en"] | {"html": "é" * 32_769}}}, "NT003", "locales.en.html"),
    ({"locales": {f"en-{n:02}": EN["en"] | {"html": "x" * 60_000} for n in range(18)}, "default_locale": "en-00"},
     "NT003", "locales"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sqlstate", "field"), REFUSED, ids=lambda given: str(given)[:50])
def test_refused(tx: Db, given: dict[str, Any], sqlstate: str, field: str) -> None:
    with refused(sqlstate, field), tx.transaction():
        put(tx, **given)
    assert column(tx, "select name from notify.template") == []


def test_accepted_at_the_limits(tx: Db) -> None:
    longest = {"title": "x" * 65_536, "message": "é" * 32_768, "html": "\x01" * 65_536}
    assert put(tx, name="a" + "-" * 63, locales={f"en-{n:02}": longest for n in range(5)}, default_locale="en-00")[1]
    assert put(tx, locales={f"en-{n:02}": EN["en"] for n in range(20)}, default_locale="en-19")[1]


REFUSED_BY_CONSTRAINTS: list[tuple[LiteralString, str]] = [
    ("update notify.template set name = 'Order'", "template_name_check"),
    ("update notify.template set version = 0", "template_version_check"),
    ("update notify.template set locales = '[]'", "template_"),
    ("update notify.template set default_locale = 'de'", "template_has_its_default"),
    ("update notify.template set locales = locales || jsonb_build_object('x', repeat('x', 6500000))", "template_small"),
    ("insert into notify.template select * from notify.template", "template_pkey"),
]


@pytest.mark.parametrize(("statement", "constraint"), REFUSED_BY_CONSTRAINTS, ids=lambda given: given[-40:])
def test_refused_by_a_constraint(tx: Db, statement: LiteralString, constraint: str) -> None:
    put(tx)
    with pytest.raises(psycopg.IntegrityError) as caught, tx.transaction():
        tx.execute(statement)
    assert (caught.value.diag.constraint_name or "").startswith(constraint)


def test_is_part_of_the_callers_transaction(db: Db, holder: Db) -> None:
    put(holder)
    holder.rollback()
    assert find(db, "order.shipped") is None
    assert put(db) == (1, True)


@pytest.mark.parametrize(("first", "expected"), [(EN, (1, False)), (texts("first"), (2, True))])
def test_two_writers_make_versions_one_after_the_other(
    db: Db, connect: Connect, holder: Db, background: ThreadPoolExecutor, first: Any, expected: tuple[int, bool]
) -> None:
    assert put(holder, locales=first) == (1, True)
    second = connect()
    waiting = background.submit(put, second)
    wait.blocked(db, second.info.backend_pid)
    assert put(db, name="other") == (1, True)
    holder.commit()
    assert waiting.result() == expected


def test_a_writer_waits_for_a_deletion(db: Db, connect: Connect, holder: Db, background: ThreadPoolExecutor) -> None:
    put(db)
    holder.execute("select notify.delete_template('order.shipped')")
    second = connect()
    waiting = background.submit(put, second, locales=texts("2"))
    wait.blocked(db, second.info.backend_pid)
    found = find(db, "order.shipped")
    assert found is not None
    assert found["version"] == 1
    holder.commit()
    assert waiting.result() == (1, True)
