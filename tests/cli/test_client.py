"""send, status, cancel: what they print and how they fail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.conftest import Notify
from helpers.programs import done
from helpers.rows import Db, one, value


def test_send_schedules_for_a_new_recipient(notify: Notify, db: Db) -> None:
    answer = notify("send", "ada", "Coffee", "It is ready", "--at", "+1h30m")
    assert re.fullmatch(r"#1 ada pending, due \d\d:\d\d:\d\dZ \(in 90 min\)\n", answer.out)
    assert (answer.status, answer.err) == (0, "")
    stored = one(db, "select title, message, priority::text from notify.batch")
    assert stored == {"title": "Coffee", "message": "It is ready", "priority": "normal"}
    assert value(db, "select due_at - created_at > interval '89 min' from notify.batch, notify.notification")


def test_send_now_for_programs(notify: Notify) -> None:
    answer = notify("send", "ada", "Coffee", "Now", "--priority", "urgent", "--reference", "order:7", "--json")
    sent = json.loads(answer.out)
    assert (sent["id"], sent["recipient"], sent["status"]) == (1, "ada", "pending")
    assert re.match(r"#2 ada pending, due \S+Z \(now\)$", notify("send", "ada", "Tea", "Now").out)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2020-01-01T00:00:00Z", "scheduled_at must lie in the future"),
        ("2031-01-01T00:00:00", "'2031-01-01T00:00:00' has no offset: end it with Z or +01:00"),
        ("soon", "'soon' is no time: write +5s or 2030-12-28T10:00:00Z"),
        ("+5", "'5' is no span of time: write 5s, 10m, 1h30m or 90d"),
        ("+9999999d", "'+9999999d' is too far ahead"),
        ("+9y", "'9y' is no span of time: write 5s, 10m, 1h30m or 90d"),
        ("+3000d", "scheduled_at must lie at most 5 years ahead"),
    ],
)
def test_a_time_that_cannot_be_is_refused(notify: Notify, db: Db, at: str, reason: str) -> None:
    assert notify("send", "ada", "Coffee", "Late", "--at", at) == (1, "", f"notify: {reason}\n")
    assert value(db, "select count(*) from notify.batch") == 0


def test_status_and_cancel(notify: Notify) -> None:
    notify("send", "ada", "Coffee\x1b[2J", "Later", "--at", "+1h")
    shown = notify("status", "1").out
    assert re.fullmatch(r"#1 pending, due \S+Z \(in 60 min\): Coffee\\x1b\[2J\n", shown)
    assert notify("cancel", "1") == (0, "#1 cancelled\n", "")
    assert notify("cancel", "1") == (1, "", "notify: #1 is cancelled, not pending\n")
    assert re.fullmatch(r"#1 cancelled, due \S+Z \(requested\): Coffee.*\n", notify("status", "1").out)
    assert json.loads(notify("status", "1", "--json").out)["scheduled_status"] == "cancelled"


def test_status_of_what_was_sent(notify: Notify, db: Db) -> None:
    notify("send", "ada", "Coffee", "Now")
    assert re.search("overdue by .*: is a worker running", notify("status", "1").out)
    notify("run", "sweep")
    assert re.fullmatch(r"#1 sent, due \S+Z, sent \S+Z \(\d+ ms after due\): Coffee\n", notify("status", "1").out)


@pytest.mark.parametrize("command", ["status", "cancel"])
def test_there_is_no_such_notification(notify: Notify, command: str) -> None:
    assert notify(command, "77") == (1, "", "notify: there is no notification 77\n")
    assert notify(command, "0").status == 2
    assert notify(command, str(2**63)).status == 2


def test_usage_errors_exit_with_2(notify: Notify) -> None:
    assert notify("send", "ada").status == 2
    assert notify("nonsense").status == 2
    assert notify("up", "--port", "66000").status == 2


def test_a_task_by_hand(notify: Notify, tmp_path: Path, dsn: str) -> None:
    assert done(tmp_path, "run", "sweep", database_url=dsn).stdout.startswith("sweep: sent 0")
    cleaned = done(tmp_path, "run", "cleanup_cancelled_notifications", "days_old=7", "--json", database_url=dsn)
    assert json.loads(cleaned.stdout)["deleted"] == 0
    assert notify("run", "nonsense").err.startswith("notify: unknown task 'nonsense'; there are ")
    assert notify("run", "sweep", "x").err == "notify: 'x' should be KEY=VALUE\n"
    assert notify("run", "sweep", "x=1") == (1, "", "notify: sweep takes no arguments, not x\n")
    sent = done(tmp_path, "run", "dispatch", database_url=dsn)
    assert sent.stdout == "dispatch: sent 0, sending 0, expired 0, parked 0, planned 0\n"
    assert '"event": "task done"' in sent.stderr


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("days_old=x",), "days_old must be a whole number from 0 to 36500, not 'x'"),
        (("foo=1",), "cleanup_cancelled_notifications takes days_old, not foo"),
        (("days_old=1", "days_old=2"), "days_old is given twice"),
    ],
)
def test_what_a_task_cannot_be_told(notify: Notify, given: tuple[str, ...], reason: str) -> None:
    assert notify("run", "cleanup_cancelled_notifications", *given) == (1, "", f"notify: {reason}\n")
