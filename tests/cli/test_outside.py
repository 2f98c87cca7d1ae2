"""channels, pause, resume, deliveries, replay: what they print, and how they fail."""

from __future__ import annotations

import json
import re

import pytest

from cli.conftest import Notify
from helpers.outside import CHANNEL, add_channel, add_reachable, fail, lease, record, send
from helpers.rows import Db, value
from notify import control
from notify.cli import deliveries

_NO_OWL = (
    f"notify: there is no channel 'owl'; known are inbox, {CHANNEL}. "
    "A worker makes known what it serves when it starts\n"
)


@pytest.fixture(autouse=True)
def reachable(db: Db) -> None:
    add_channel(db)
    add_reachable(db, "ada")


def test_channels_and_types_are_shown(notify: Notify, db: Db) -> None:
    lines = notify("channels").out.splitlines()
    assert re.fullmatch(r"CHANNEL +STATE +RATE +RETRY +DESCRIPTION", lines[0])
    assert re.fullmatch(rf"{CHANNEL} +open +- +- +for tests", lines[2])
    db.execute('select notify.set_channel(%s, \'{"rate": 5, "retry": {"delays": [1]}}\')', (CHANNEL,))
    db.execute("select notify.set_type('news', '{\"required\": true}')")
    lines = notify("channels").out.splitlines()
    assert re.fullmatch(rf'{CHANNEL} +open +5/s +{{"delays":\[1\]}} +for tests', lines[2])
    assert re.fullmatch(r"news +open +yes +-", lines[-1])
    shown = json.loads(notify("channels", "--json").out)
    assert [channel["name"] for channel in shown["channels"]] == ["inbox", CHANNEL]
    assert [kind["required"] for kind in shown["types"]] == [True]


def test_a_channel_that_rests_says_until_when(notify: Notify, db: Db) -> None:
    send(db, "ada")
    record(db, lease(db), "retry", code="connect", outage=True, threshold=1)
    assert re.search(rf"{CHANNEL} +resting until \d{{4}}-\S+Z ", notify("channels").out)


def test_pause_and_resume(notify: Notify, db: Db) -> None:
    assert notify("pause", "channel", CHANNEL) == (0, f"channel {CHANNEL} paused\n", "")
    assert re.search(rf"{CHANNEL} +paused \d{{4}}-\S+Z ", notify("channels").out)
    send(db, "ada")
    assert lease(db) == []
    assert json.loads(notify("resume", "channel", CHANNEL, "--json").out)["state"] == "open"
    assert len(lease(db)) == 1
    assert notify("pause", "type", "news").out == "type news paused\n"
    assert json.loads(notify("channels", "--json").out)["types"][0]["paused_at"]
    assert notify("resume", "type", "news").out == "type news resumed\n"


def test_what_cannot_be_paused(notify: Notify) -> None:
    assert notify("pause", "channel", "owl") == (1, "", _NO_OWL)
    refused = notify("pause", "channel", "inbox")
    assert (refused.status, refused.err.startswith("notify: the inbox can neither be paused")) == (1, True)
    assert notify("pause", "type", "x" * 101).err == "notify: type must have 1 to 100 characters\n"
    assert notify("pause", "recipient", "ada").status == 2
    assert notify("pause", "channel").status == 2


def test_deliveries_are_listed(notify: Notify, db: Db) -> None:
    assert notify("deliveries").out.count("\n") == 1
    send(db, "ada", type="news")
    record(db, lease(db), "failed", code="smtp-550", detail="no such\x1b loft " + "x" * 100)
    db.execute("select notify.set_type('news', '{\"paused\": true}')")
    send(db, "ada", type="news")
    lease(db)
    head, held, failed = notify("deliveries").out.splitlines()
    assert re.fullmatch("ID +NOTIFICATION +RECIPIENT +CHANNEL +STATUS +TRIES +WHEN +ERROR", head)
    assert re.fullmatch(rf"2 +2 +ada +{CHANNEL} +held +0 +\d\d:\d\d:\d\dZ", held)
    assert re.fullmatch(rf"1 +1 +ada +{CHANNEL} +failed +1 +\d\d:\d\d:\d\dZ +smtp-550 no such\\x1b loft x+…", failed)
    (only,) = json.loads(notify("deliveries", "--status", "failed", "--channel", CHANNEL, "--json").out)
    assert (only["id"], only["code"], only["held"]) == (1, "smtp-550", None)
    assert json.loads(notify("deliveries", "--code", "http-500", "--json").out) == []
    assert notify("deliveries", "--status", "done").status == 2


def test_what_is_rare_is_looked_for_to_the_end(notify: Notify, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_WALKED", 2)
    fail(db, *"abbbbba")
    found = json.loads(notify("deliveries", "--code", "a", "--json").out)
    assert [one["id"] for one in found] == [7, 1]
    assert [one["id"] for one in json.loads(notify("deliveries", "--limit", "2", "--json").out)] == [7, 6]


def test_some_are_replayed(notify: Notify, db: Db) -> None:
    fail(db, "a", "a", "b")
    assert notify("replay", "1", "2", "77") == (0, "2 replayed\n", "")
    code, out, refused = notify("replay", "1", "77")
    assert (code, out) == (1, "")
    assert "none of these deliveries can be replayed: only failed ones can" in refused
    assert json.loads(notify("replay", "--code", "a", "--json").out) == {"replayed": 0}
    assert json.loads(notify("replay", "--channel", CHANNEL, "--code", "b", "--json").out) == {"replayed": 1}
    assert len(lease(db)) == 3


def test_all_are_replayed_in_portions(notify: Notify, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "_AT_A_TIME", 2)
    fail(db, "a", "b", "a", "b", "a")
    batch = value(db, "select max(id) from notify.batch")
    assert notify("replay", "--batch", str(batch)).out == "1 replayed\n"
    assert notify("replay", "--all").out == "4 replayed\n"
    assert notify("replay", "--all").out == "0 replayed\n"


@pytest.mark.parametrize("arguments", ["", "1 --all", "1 --channel x", "--batch 0", "0", "x"])
def test_what_to_replay_has_to_be_said(notify: Notify, arguments: str) -> None:
    assert notify("replay", *arguments.split()).status == 2
