"""What is asked when a delivery is due: preferences, quiet hours, pauses, addresses that fail, rates, and outages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from helpers.outside import add_channel, add_reachable, delivery, lease, record, send
from helpers.rows import Db, call_one, move_clock, one, refused, rows, statuses, value


@pytest.fixture(autouse=True)
def reachable(tx: Db) -> None:
    add_channel(tx)
    add_reachable(tx, "ada", "bob")


def _set(tx: Db, **preferences: Any) -> None:
    tx.execute("update notify.recipient set preferences = %s where id = 'ada'", (Jsonb(preferences),))


def _cancelled(tx: Db, id: int) -> tuple[str, str, str]:
    found = one(tx, "select status, cancel_reason from notify.notification where id = %s", id)
    return (found["status"], found["cancel_reason"], delivery(tx, id)["code"])


@pytest.mark.parametrize(
    "opt_out", [{"channel": "pigeon"}, {"type": "news"}, {"channel": "pigeon", "type": "news"}], ids=str
)
def test_who_has_opted_out_gets_nothing(tx: Db, opt_out: dict[str, str]) -> None:
    (id,) = send(tx, "ada", type="news")
    _set(tx, opt_out=[opt_out])  # after it was scheduled
    assert lease(tx) == []
    assert _cancelled(tx, id) == ("cancelled", "preferences", "opted-out")


@pytest.mark.parametrize("opt_out", [{"channel": "owl"}, {"type": "x"}, {"channel": "owl", "type": "news"}], ids=str)
def test_and_only_what_it_has_opted_out_of(tx: Db, opt_out: dict[str, str]) -> None:
    _set(tx, opt_out=[opt_out])
    send(tx, "ada", type="news")
    assert len(lease(tx)) == 1


def test_what_is_urgent_or_required_goes_anyway(tx: Db) -> None:
    tx.execute("select notify.set_type('terms', '{\"required\": true}')")
    _set(tx, opt_out=[{"channel": "pigeon"}])
    send(tx, "ada", priority="urgent")
    send(tx, "ada", type="terms")
    assert [(row["type"], row["required"]) for row in lease(tx)] == [("system", False), ("terms", True)]


def test_one_click_writes_the_preference_once(tx: Db) -> None:
    for _ in range(2):
        assert value(tx, "select notify.unsubscribe('ada', 'pigeon', 'news')")
    assert value(tx, "select preferences from notify.recipient where id = 'ada'") == {
        "opt_out": [{"channel": "pigeon", "type": "news", "by": "recipient"}]
    }
    assert not value(tx, "select notify.unsubscribe('nobody', 'pigeon', 'news')")


@pytest.mark.parametrize(
    "preferences",
    [
        {"opt_out": "all"},
        {"opt_out": [{}]},
        {"opt_out": ["email"]},
        {"opt_out": [{"channel": 1}]},
        {"opt_out": [{"channel": "inbox"}]},
        {"opt_out": [{"colour": "red"}]},
        {"quiet_hours": {"from": "22:00"}},
        {"quiet_hours": {"from": "25:00", "to": "07:00"}},
        {"quiet_hours": "night"},
    ],
    ids=str,
)
def test_preferences_that_cannot_be_understood_are_refused(tx: Db, preferences: dict[str, Any]) -> None:
    with refused("NT001", f"preferences.{next(iter(preferences))}"):
        add_reachable(tx, "ada", preferences=preferences)


@pytest.mark.parametrize(
    ("zone", "now", "ends"),
    [
        ("Europe/Berlin", "2030-01-10T20:59Z", None),
        ("Europe/Berlin", "2030-01-10T21:00Z", "2030-01-11T06:00Z"),
        ("Europe/Berlin", "2030-01-11T05:59Z", "2030-01-11T06:00Z"),
        ("Europe/Berlin", "2030-01-11T05:59:30Z", "2030-01-11T06:00Z"),
        ("Europe/Berlin", "2030-01-11T06:00Z", None),
        ("America/New_York", "2030-01-11T03:00Z", "2030-01-11T12:00Z"),
        (None, "2030-01-11T03:00Z", "2030-01-11T07:00Z"),
        # The night in which clocks are put forward, and the one in which they are put back.
        ("Europe/Berlin", "2030-03-30T22:00Z", "2030-03-31T05:00Z"),
        ("Europe/Berlin", "2030-10-26T21:00Z", "2030-10-27T06:00Z"),
        ("Mars/Olympus", "2030-01-11T03:00Z", None),
    ],
)
def test_quiet_hours_are_local(tx: Db, zone: str | None, now: str, ends: str | None) -> None:
    found = value(
        tx, "select notify.quiet_until(%s, %s, %s)", Jsonb({"quiet_hours": {"from": "22:00", "to": "7:00"}}), zone, now
    )
    assert found == (None if ends is None else datetime.fromisoformat(ends))


def test_quiet_hours_within_a_day(tx: Db) -> None:
    noon = Jsonb({"quiet_hours": {"from": "12:00", "to": "14:00"}})
    found = [
        value(tx, "select notify.quiet_until(%s, null, %s)", noon, f"2030-01-10T{at}Z")
        for at in ("11:59", "13:00", "14:00")
    ]
    assert found == [None, datetime.fromisoformat("2030-01-10T14:00Z"), None]


def test_in_quiet_hours_deliveries_wait_and_the_inbox_does_not(tx: Db) -> None:
    now = value(tx, "select to_char(notify.now() at time zone 'UTC' - interval '1 hour', 'HH24:MI')")
    then = value(tx, "select to_char(notify.now() at time zone 'UTC' + interval '1 hour', 'HH24:MI')")
    _set(tx, quiet_hours={"from": now, "to": then})
    (id,) = send(tx, "ada", channels=["inbox", "pigeon"])
    assert statuses(tx, [id]) == ["sent"]
    assert lease(tx) == []
    waits = value(tx, "select extract(epoch from due_at - notify.now()) from notify.delivery")
    assert 3500 < waits <= 3600
    assert delivery(tx, id)["attempts"] == 0
    send(tx, "ada", priority="urgent")
    assert [row["priority"] for row in lease(tx)] == ["urgent"]
    move_clock(tx, "61 minutes")
    assert len(lease(tx)) == 1


def test_a_paused_channel_keeps_what_is_due(tx: Db) -> None:
    tx.execute("select notify.set_channel('pigeon', '{\"paused\": true}')")
    (id,) = send(tx, "ada")
    assert lease(tx) == []
    assert rows(tx, "select * from notify.next_deliveries()") == []
    assert value(tx, "select state from notify.channels where name = 'pigeon'") == "paused"
    tx.execute("select notify.set_channel('pigeon', '{\"paused\": false}')")
    assert [row["notification_id"] for row in lease(tx)] == [id]


def test_the_inbox_cannot_be_paused(tx: Db) -> None:
    with refused("NT001", "channel"):
        tx.execute("select notify.set_channel('inbox', '{\"paused\": true}')")


def test_a_paused_type_waits_and_holds_up_no_other(tx: Db) -> None:
    tx.execute("select notify.set_type('news', '{\"paused\": true}')")
    held = [send(tx, "ada", type="news")[0] for _ in range(30)]
    (other,) = send(tx, "ada")
    assert [row["notification_id"] for row in lease(tx, 1)] == [other]
    assert lease(tx, 1) == []
    assert {delivery(tx, id)["held"] for id in held} == {"news"}
    assert value(tx, "select notify.release_held(100)") == 0
    tx.execute("select notify.set_type('news', '{\"paused\": false}')")
    assert len(lease(tx)) == 30


def test_what_a_resumed_type_held_goes_in_portions(tx: Db) -> None:
    tx.execute("select notify.set_type('news', '{\"paused\": true}')")
    for _ in range(3):
        send(tx, "ada", type="news")
    lease(tx)
    tx.execute("update notify.type set paused_at = null")
    assert [value(tx, "select notify.release_held(2)") for _ in range(3)] == [2, 1, 0]


def test_what_has_expired_meanwhile_is_cancelled(tx: Db) -> None:
    expires = value(tx, "select notify.now() + interval '1 minute'")
    (id,) = send(tx, "ada", expires_at=expires)
    move_clock(tx, "2 minutes")
    assert lease(tx) == []
    assert _cancelled(tx, id) == ("cancelled", "expired", "expired")


def test_without_any_address_it_fails(tx: Db) -> None:
    (id,) = send(tx, "ada")
    tx.execute("update notify.recipient set addresses = '{}' where id = 'ada'")
    assert lease(tx) == []
    assert (delivery(tx, id)["status"], delivery(tx, id)["code"]) == ("cancelled", "no-address")
    found = one(tx, "select status, failure_reason from notify.notification where id = %s", id)
    assert found == {"status": "failed", "failure_reason": "pigeon: the recipient has no address for pigeon"}
    add_reachable(tx, "ada")
    assert value(tx, "select retried from notify.retry(%s, interval '0')", id)
    call_one(tx, "drain")
    record(tx, lease(tx))
    assert statuses(tx, [id]) == ["sent"]


def test_without_an_address_on_one_channel_the_others_count(tx: Db) -> None:
    add_channel(tx, "owl")
    (id,) = send(tx, "ada", channels=["owl", "pigeon"])
    assert lease(tx, channel="owl") == []
    assert statuses(tx, [id]) == ["sending"]
    record(tx, lease(tx))
    assert statuses(tx, [id]) == ["sent"]
    assert rows(tx, "select from notify.dead_letters") == []


def test_an_address_that_asked_to_be_left_alone_is(tx: Db) -> None:
    (id,) = send(tx, "ada")
    record(tx, lease(tx), "retry", code="http-429", rest=600, delay=600)
    (other,) = send(tx, "ada")
    send(tx, "bob")
    assert [row["recipient"] for row in lease(tx)] == ["bob"]
    assert delivery(tx, other)["attempts"] == 0
    move_clock(tx, "601 s")
    assert {row["notification_id"] for row in lease(tx)} == {id, other}


def test_one_that_fails_again_and_again_rests_longer_and_longer(tx: Db) -> None:
    rests = []
    for hours in range(8):
        move_clock(tx, f"{hours} hours")
        send(tx, "ada")
        record(tx, lease(tx, 1), "retry", code="timeout", delay=604_800)
        rests.append(value(tx, "select round(extract(epoch from rests_until - notify.now())) from notify.endpoint"))
    assert rests == [None, 2, 4, 8, 16, 32, 60, 60]
    move_clock(tx, "9 hours")
    send(tx, "ada")
    record(tx, lease(tx, 1))
    assert rows(tx, "select from notify.endpoint") == []


def test_an_address_that_is_gone_is_disabled_until_there_is_another(tx: Db) -> None:
    send(tx, "ada")
    done = record(tx, lease(tx), "failed", code="http-410", detail="gone", disable=True)
    assert done["disabled"] == ["ada"]
    assert one(tx, "select recipient, channel, reason from notify.disabled_addresses") == {
        "recipient": "ada",
        "channel": "pigeon",
        "reason": "gone",
    }
    (id,) = send(tx, "ada")
    assert lease(tx) == []
    assert (statuses(tx, [id]), delivery(tx, id)["code"]) == (["failed"], "disabled")
    tx.execute("select notify.upsert_recipient('ada', addresses => '{\"pigeon\": \"a new loft\"}')")
    assert rows(tx, "select from notify.disabled_addresses") == []
    send(tx, "ada")
    assert len(lease(tx)) == 1


def test_a_disabled_address_can_be_enabled(tx: Db) -> None:
    send(tx, "ada")
    record(tx, lease(tx), "failed", disable=True, code="http-410")
    assert value(tx, "select notify.enable_address('ada', 'pigeon')")
    assert not value(tx, "select notify.enable_address('ada', 'pigeon')")
    send(tx, "ada")
    assert len(lease(tx)) == 1


def test_five_days_of_failure_disable_an_address(tx: Db) -> None:
    disabled = []
    for days in (0, 1.5, 3, 4.5, 5.5):
        move_clock(tx, f"{days} days")
        send(tx, "ada")
        disabled.append(record(tx, lease(tx, 1), "retry", code="http-500", delay=604_800, most_days=5)["disabled"])
    assert disabled == [[], [], [], [], ["ada"]]
    assert value(tx, "select reason from notify.disabled_addresses") == "nothing got through for 5 days"


def test_days_in_which_nothing_was_tried_do_not_count(tx: Db) -> None:
    for days in (0, 6, 7):
        move_clock(tx, f"{days} days")
        send(tx, "ada")
        done = record(tx, lease(tx, 1), "retry", code="http-500", delay=604_800, most_days=5)
        assert done["disabled"] == []


def test_an_urgent_one_does_not_wait_for_the_end_of_the_night_after_a_failure(tx: Db) -> None:
    now = value(tx, "select to_char(notify.now() at time zone 'UTC' - interval '1 hour', 'HH24:MI')")
    then = value(tx, "select to_char(notify.now() at time zone 'UTC' + interval '3 hours', 'HH24:MI')")
    _set(tx, quiet_hours={"from": now, "to": then})
    send(tx, "ada", priority="urgent")
    record(tx, lease(tx), "retry", code="http-503", rest=5, delay=0)
    assert lease(tx) == []
    assert value(tx, "select extract(epoch from due_at - notify.now()) from notify.delivery") <= 5


def test_an_outage_says_nothing_of_an_address(tx: Db) -> None:
    send(tx, "ada")
    record(tx, lease(tx), "retry", code="connect", outage=True, delay=0)
    assert rows(tx, "select from notify.endpoint") == []


def test_a_clock_that_is_put_back_does_not_stop_a_rate(tx: Db) -> None:
    tx.execute("select notify.set_channel('pigeon', '{\"rate\": 1}')")
    for _ in range(3):
        send(tx, "ada")
    move_clock(tx, "1 hour")
    assert len(lease(tx)) == 1
    move_clock(tx, "10 minutes")
    assert lease(tx) == []
    move_clock(tx, "10 minutes 2 seconds")
    assert len(lease(tx)) == 1


def test_clicks_beyond_all_bounds_mean_the_whole_channel(tx: Db) -> None:
    many = [{"channel": "pigeon", "type": f"t{n}"} for n in range(199)]
    _set(tx, opt_out=[{"type": "x"}, *many])
    assert value(tx, "select notify.unsubscribe('ada', 'pigeon', 'news')")
    kept = value(tx, "select preferences -> 'opt_out' from notify.recipient where id = 'ada'")
    assert kept == [{"type": "x"}, {"channel": "pigeon", "by": "recipient"}]


def test_a_rate_is_kept_over_all_workers(tx: Db) -> None:
    tx.execute("select notify.set_channel('pigeon', '{\"rate\": 2}')")
    for _ in range(6):
        send(tx, "ada")
    assert len(lease(tx)) == 2
    assert lease(tx) == []
    due_in = value(tx, "select due_in from notify.next_deliveries()")
    assert 0 < due_in <= 0.5
    move_clock(tx, "1 s")
    assert len(lease(tx)) == 2
    move_clock(tx, "1 hour")  # what was not used is saved up for a second at most
    assert len(lease(tx)) == 2
    assert lease(tx) == []


def test_outages_in_a_row_let_a_channel_rest_and_one_try_wakes_it(tx: Db) -> None:
    def state() -> tuple[str, Any]:
        found = one(
            tx,
            "select state, extract(epoch from rests_until - notify.now()) as rest from notify.channels"
            " where name = 'pigeon'",
        )
        return (found["state"], found["rest"] and round(found["rest"]))

    for _ in range(9):
        send(tx, "ada")
    record(tx, lease(tx, 2), "retry", code="connect", outage=True, threshold=3, delay=0)
    assert state() == ("open", None)
    record(tx, lease(tx, 2), "retry", code="connect", outage=True, threshold=3, delay=0)
    assert state() == ("resting", 5)
    assert lease(tx) == []
    assert 4 < value(tx, "select due_in from notify.next_deliveries()") <= 5
    move_clock(tx, "6 s")
    tried = lease(tx)
    assert len(tried) == 1
    assert lease(tx) == []  # only one tries
    record(tx, tried, "retry", code="connect", outage=True, threshold=3, delay=0)
    assert state() == ("resting", 10)
    move_clock(tx, "17 s")
    record(tx, lease(tx), "failed", code="smtp-550", threshold=3)  # it answers again
    assert state() == ("open", None)
    assert len(lease(tx)) == 8


def test_a_try_that_never_ended_is_made_again(tx: Db) -> None:
    send(tx, "ada")
    send(tx, "bob")
    record(tx, lease(tx), "retry", code="connect", outage=True, threshold=1, delay=0)
    move_clock(tx, "6 s")
    assert len(lease(tx)) == 1
    move_clock(tx, "65 s")
    assert lease(tx) == []
    move_clock(tx, "67 s")
    assert len(lease(tx)) == 1
