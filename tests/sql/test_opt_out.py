"""What a recipient has opted out of by its own hand lasts, whatever the application registers, until that lifts it."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from helpers.outside import add_channel, add_reachable, lease, send
from helpers.rows import Db, call, refused, value

CLICKED = {"channel": "pigeon", "type": "news", "by": "recipient"}
LESSON = {"type": "lesson"}


@pytest.fixture(autouse=True)
def reachable(tx: Db) -> None:
    add_channel(tx)
    add_reachable(tx, "ada", "bob")


def _click(tx: Db, type: str = "news") -> None:
    assert value(tx, "select notify.unsubscribe('ada', 'pigeon', %s)", type)


def _upsert(tx: Db, *, replace: bool = False, id: str = "ada", **fields: Any) -> None:
    call(tx, "upsert_recipients", p_rows=Jsonb([{"id": id, **fields}]), p_replace=replace)


def _opt_out(tx: Db, id: str = "ada") -> Any:
    return value(tx, "select preferences -> 'opt_out' from notify.recipient where id = %s", id)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"addresses": {"pigeon": "another loft"}}, [CLICKED]),
        ({"preferences": None}, [CLICKED]),
        ({"preferences": {"colour": "red"}}, [CLICKED]),
        ({"preferences": {"opt_out": []}}, [CLICKED]),
        ({"preferences": {"opt_out": None}}, [CLICKED]),
        ({"preferences": {"opt_out": [LESSON]}}, [LESSON, CLICKED]),
        ({"preferences": {"opt_out": [{"channel": "pigeon"}]}}, [{"channel": "pigeon"}, CLICKED]),
        ({"preferences": {"opt_out": [{"channel": "pigeon", "type": "news"}]}}, [CLICKED]),
        ({"preferences": {"opt_out": [CLICKED, LESSON]}}, [LESSON, CLICKED]),  # as it was read
    ],
    ids=str,
)
def test_what_a_link_wrote_lasts(tx: Db, given: dict[str, Any], stored: list[Any], replace: bool) -> None:
    _click(tx)
    for _ in range(2):
        _upsert(tx, replace=replace, **given)
        assert _opt_out(tx) == stored
    send(tx, "ada", type="news")
    assert lease(tx) == []


def test_what_the_application_wrote_it_may_take_back(tx: Db) -> None:
    _upsert(tx, preferences={"opt_out": [LESSON]})
    _click(tx)
    _upsert(tx, preferences={"opt_out": [{"type": "alarm"}]})
    assert _opt_out(tx) == [{"type": "alarm"}, CLICKED]
    _upsert(tx, replace=True)
    assert _opt_out(tx) == [CLICKED]


@pytest.mark.parametrize(
    "entry", [{"channel": "pigeon", "type": "news"}, {"channel": "pigeon"}, {"type": "news"}], ids=str
)
def test_a_click_counts_though_the_application_had_said_it_before(tx: Db, entry: dict[str, str]) -> None:
    _upsert(tx, preferences={"opt_out": [entry]})
    _click(tx)
    _upsert(tx, preferences={"opt_out": []})
    assert _opt_out(tx) == [CLICKED]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    ("opt_in", "left"),
    [
        ([{"channel": "pigeon", "type": "news"}], ["tips"]),
        ([{"type": "news"}], ["tips"]),
        ([{"channel": "pigeon"}], []),
        ([{"channel": "pigeon", "type": "other"}, {"channel": "email"}], ["news", "tips"]),
        (None, ["news", "tips"]),
    ],
    ids=str,
)
def test_only_an_opt_in_lifts_it(tx: Db, opt_in: Any, left: list[str], replace: bool) -> None:
    _click(tx)
    _click(tx, "tips")
    _upsert(tx, replace=replace, preferences={"opt_in": opt_in})
    stored = value(tx, "select preferences from notify.recipient where id = 'ada'")
    assert [entry["type"] for entry in stored.get("opt_out", [])] == left
    assert "opt_in" not in stored
    add_reachable(tx, "ada")
    send(tx, "ada", type="news")
    assert len(lease(tx)) == ("news" not in left)


def test_an_opt_in_leaves_alone_what_the_application_says_itself(tx: Db) -> None:
    _click(tx)
    opt_out = [{"channel": "pigeon", "type": "news"}, CLICKED, LESSON]
    _upsert(tx, preferences={"opt_out": opt_out, "opt_in": [{"channel": "pigeon"}, {"type": "lesson"}]})
    assert _opt_out(tx) == [{"channel": "pigeon", "type": "news"}, LESSON]


def test_an_opt_in_of_one_who_is_new_is_not_stored_either(tx: Db) -> None:
    _upsert(tx, id="cleo", preferences={"colour": "red", "opt_in": [LESSON]})
    assert value(tx, "select preferences from notify.recipient where id = 'cleo'") == {"colour": "red"}


def test_the_application_may_say_that_the_recipient_said_so(tx: Db) -> None:
    """As where a copy is read back, or the recipient told the application itself."""
    _upsert(tx, id="cleo", preferences={"opt_out": [CLICKED]})
    _upsert(tx, id="cleo", replace=True)
    assert _opt_out(tx, "cleo") == [CLICKED]


@pytest.mark.parametrize(
    "preferences",
    [
        {"opt_out": [{**CLICKED, "by": "me"}]},
        {"opt_out": [{**CLICKED, "by": None}]},
        {"opt_out": [{"by": "recipient"}]},
        {"opt_in": [CLICKED]},
        {"opt_in": [{}]},
        {"opt_in": "all"},
        {"opt_in": [{"channel": "inbox"}]},
        {"opt_in": [{"type": str(n)} for n in range(201)]},
    ],
    ids=lambda preferences: str(preferences)[:60],
)
def test_what_is_neither_is_refused(tx: Db, preferences: dict[str, Any]) -> None:
    with refused("NT001", f"preferences.{next(iter(preferences))}"):
        _upsert(tx, preferences=preferences)


def test_who_is_forgotten_has_said_nothing(tx: Db) -> None:
    _click(tx)
    tx.execute("select notify.delete_recipient('ada')")
    add_reachable(tx, "ada")
    assert _opt_out(tx) is None


def test_a_list_that_outgrows_its_bounds_becomes_the_whole_channel(tx: Db) -> None:
    for n in range(3):
        _click(tx, f"clicked {n}")
    given = [*({"channel": "pigeon", "type": f"t{n}"} for n in range(100)), *({"type": f"t{n}"} for n in range(98))]
    _upsert(tx, preferences={"opt_out": given})
    assert _opt_out(tx) == [*given[100:], {"channel": "pigeon", "by": "recipient"}]


def test_clicks_do_not_make_a_recipient_too_large_to_be_registered(tx: Db) -> None:
    for n in range(60):
        _click(tx, f"{n}" + "x" * 98)
    _upsert(tx, preferences={"opt_out": [{"type": f"{n}" + "y" * 95} for n in range(60)]})
    assert _opt_out(tx)[60:] == [{"channel": "pigeon", "by": "recipient"}]


def test_what_changes_nothing_writes_nothing(tx: Db) -> None:
    _upsert(tx, preferences={"opt_out": [LESSON]})
    _click(tx)
    before = value(tx, "select xmin::text || ctid::text from notify.recipient where id = 'ada'")
    _upsert(tx, preferences={"opt_out": [LESSON], "opt_in": [{"type": "x"}]})
    assert value(tx, "select xmin::text || ctid::text from notify.recipient where id = 'ada'") == before


@pytest.mark.parametrize("member", ["opt_out", "opt_in"])
def test_a_channel_that_there_is_not_is_refused_with_those_that_there_are(tx: Db, member: str) -> None:
    given = {member: [{"channel": "email"}, {"channel": "emial"}]}
    with refused("NT001", f"preferences.{member}") as caught, tx.transaction():
        _upsert(tx, preferences=given)
    assert "'emial'" in str(caught.value)
    assert "apprise, email, pigeon, webhook" in str(caught.value)
    for channel in ("email", "webhook", "apprise", "pigeon"):
        _upsert(tx, preferences={member: [{"channel": channel, "type": "news"}]})


def test_quiet_hours_that_never_begin_are_refused(tx: Db) -> None:
    for from_, to in (("22:00", "22:00"), ("7:00", "07:00")):
        with refused("NT001", "preferences.quiet_hours") as caught, tx.transaction():
            _upsert(tx, preferences={"quiet_hours": {"from": from_, "to": to}})
        assert "differ" in str(caught.value)
