"""At a million pending notifications every hot statement reads along its index, in new sessions and in old ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import Connect
from helpers.load import fill
from helpers.plans import Explainer, Plans
from helpers.rows import Db, value
from notify.postgres.connection import connect_sync

TABLES = ("notification", "batch", "mailbox", "recipient")

SCHEDULE: dict[str, Any] = {
    "recipients": ["7", "8", "nobody"],
    "title": "T",
    "message": "M",
    "scheduled_at": None,
    "type": "t",
    "priority": "low",
    "data": "{}",
    "channels": ["inbox"],
    "idempotency_key": None,
    "reference": None,
    "expires_at": None,
    "unknown_recipients": "skip",
    "past_is_now": False,
    "options": None,
}
DRAIN: dict[str, Any] = {"avoid": [], "quarantine": [], "after": []}
ANY: dict[str, Any] = {"status": None, "type": None, "due_before": None, "limit": 51, "before": None}
PAGE: dict[str, Any] = ANY | {
    "by_due": False,
    "after_due": None,
    "after_id": None,
    "reference": None,
    "recipient": None,
}
NO_BOUND: dict[str, Any] = {"floor": None, "ceiling_due": None, "ceiling_id": None}
RARE: dict[str, Any] = {"type": "nobody's"}

# Statement, its parameters, an index it needs, the most pages it may touch, and the most rows it may sort.
TOGETHER = json.dumps(
    [
        {
            "recipients": [str(n)],
            "title": "T",
            "message": "M",
            "scheduled_at": "2029-01-01T00:00:00Z",
            "type": "system",
            "priority": "normal",
            "data": {},
            "channels": ["inbox"],
        }
        for n in range(7, 17)
    ]
)
CASES: list[tuple[str, dict[str, Any], str, int, int]] = [
    ("due_ids", DRAIN | {"max_rows": 1000}, "notification_due", 4000, 0),
    ("due_ids", DRAIN | {"max_rows": 5000}, "notification_due", 8000, 0),
    (
        "drain",
        DRAIN | {"max_rows": 1000, "due_from": None, "only": None, "signal": True},
        "notification_due",
        80_000,
        1000,
    ),
    ("drain", DRAIN | {"max_rows": 1, "due_from": None, "only": None, "signal": True}, "notification_due", 500, 1),
    ("plan", {}, "notification_due", 6000, 0),
    ("measure_backlog", {}, "notification_due", 500, 0),
    ("pending_notifications", {"limit": 100, "due_at": None, "id": None}, "notification_due", 2500, 400),
    ("pending_notifications", {"limit": 100, "due_at": "2000-01-01Z", "id": 5}, "notification_due", 2500, 400),
    ("list_pending", PAGE | NO_BOUND, "notification_due", 2500, 204),
    ("list_newest", PAGE | NO_BOUND, "notification_pkey", 500, 0),
    # What nobody has: a walk over 100,000 rows at most, of a second's due time each.
    ("list_floor", {"before": None, "rows": 100_000}, "notification_pkey", 2500, 0),
    ("list_newest", PAGE | RARE | {"floor": 1_100_001}, "notification_pkey", 420_000, 0),
    ("list_newest", PAGE | {"status": "sending", "floor": 1_100_001}, "notification_pkey", 25_000, 0),
    ("list_ceiling", PAGE | {"rows": 25_000}, "notification_due", 20_000, 4),
    ("list_pending", PAGE | RARE | {"ceiling_due": "tomorrow", "ceiling_id": 1}, "notification_due", 420_000, 0),
    ("list_of_recipient", PAGE | {"recipient": "77"}, "notification_stream", 200, 12),
    ("list_of_reference", PAGE | {"reference": "r:7"}, "notification_batch", 2500, 240),
    ("show_notification", {"id": 700_000}, "notification_pkey", 20, 0),
    ("hold_mailboxes", {"ids": ["7", "8"]}, "mailbox_pkey", 50, 2),
    ("schedule_status", {"id": 700_000}, "notification_pkey", 40, 0),
    ("read_mailboxes", {"recipients": ["7", "8"]}, "mailbox_pkey", 30, 0),
    ("read_stream", {"recipient": "77", "after": 1, "limit": 100}, "notification_stream", 30, 1),
    ("read_inbox", {"recipient": "77", "after": 0, "limit": 51}, "notification_stream", 40, 2),
    ("acknowledge", {"recipients": ["7", "8"], "generations": [7, 8], "seqs": [1, 1]}, "mailbox_pkey", 200, 2),
    ("mark_read", {"recipient": "77", "ids": [1, 2], "up_to_seq": 1}, "notification_stream", 150, 2),
    ("cancel", {"id": 700_000}, "notification_pkey", 100, 0),
    ("reschedule", {"id": 700_000, "scheduled_at": "2029-01-01Z"}, "notification_pkey", 150, 0),
    ("retry", {"id": 700, "delay_minutes": 10}, "notification_pkey", 150, 0),
    ("send", {"id": 700_000, "wait": True}, "notification_pkey", 500, 1),
    ("park", {"id": 700, "reason": "why"}, "notification_pkey", 100, 0),
    ("cancel_batch", {"id": 7}, "notification_batch", 4000, 50),
    ("cancel_reference", {"reference": "r:7"}, "batch_reference", 12_000, 200),
    ("delete_recipient", {"id": "77"}, "notification_stream", 1000, 12),
    ("delete_old", {"days": 1, "max_rows": 1000}, "notification_sent", 120_000, 2000),
    ("delete_old", {"days": 1, "max_rows": 1000}, "notification_failed", 120_000, 2000),
    ("delete_cancelled", {"days": 0, "max_rows": 1000}, "notification_cancelled", 50_000, 1000),
    (
        "upsert_recipients",
        {"rows": '[{"id": "7"}, {"id": "8", "locale": "de"}]', "replace": False},
        "recipient_pkey",
        400,
        2,
    ),
    ("schedule", SCHEDULE, "mailbox_pkey", 500, 3),
    ("schedule_together", {"requests": TOGETHER}, "mailbox_pkey", 1000, 10),
]


@pytest.fixture(scope="module")
def explain(shared_dsn: str) -> Iterator[Explainer]:
    """A database of 1,000,000 pending and 200,000 other notifications, of 100,000 recipients."""
    with connect_sync(shared_dsn, name="plans") as db:
        _leave_alone(db)
        fill(db, pending=1_000_000)
        yield Explainer(db)


def _leave_alone(db: Db) -> None:
    """A vacuum or an analyze between two calls makes the second read the catalogs again."""
    for table in TABLES:
        db.execute(f"alter table notify.{table} set (autovacuum_enabled = off)".encode())


def _assert_indexed(plans: Plans, index: str, pages: int, sorted_rows: int) -> None:
    scans = set[str]().union(*(plans.scans(table) for table in TABLES))
    # Of the 20,000 batches a page of a list needs so many that reading all may be cheaper; `pages` bounds that.
    assert not any("Seq Scan" in plans.scans(table) for table in TABLES if table != "batch"), plans
    assert index in {scan.rpartition(" ")[2] for scan in scans}, scans
    assert plans.most_sorted <= sorted_rows, plans
    assert plans.pages <= pages, plans


@pytest.mark.parametrize("settled", [False, True], ids=["first", "settled"])
@pytest.mark.parametrize(("name", "params", "index", "pages", "sorted_rows"), CASES, ids=lambda given: str(given)[:30])
def test_reads_along_its_index(
    explain: Explainer, settled: bool, name: str, params: dict[str, Any], index: str, pages: int, sorted_rows: int
) -> None:
    wanted = {key: params[key] for key in params if f"%({key})s" in explain.text(name)}
    _assert_indexed(explain.query(name, settled=settled, **wanted), index, pages, sorted_rows)


def test_plans_made_when_the_tables_were_empty_still_do(db: Db, connect: Connect) -> None:
    _leave_alone(db)
    old = connect(name="old")
    explain = Explainer(old)
    drain = DRAIN | {"max_rows": 1000, "due_from": None, "only": None, "signal": True}
    db.execute("select notify.schedule('{first}', 'T', 'M', unknown_recipients => 'create')")
    for _ in range(2):
        explain.query("drain", settled=True, **drain)
        explain.query("schedule", settled=True, **SCHEDULE)
    fill(db, pending=100_000, indexes_kept=True)
    assert value(db, "select max(reltuples) from pg_class where relname = 'notification'") == -1
    _assert_indexed(explain.query("drain", **drain, settled=False), "notification_due", 80_000, 1000)
    _assert_indexed(explain.query("drain", **drain, settled=True), "notification_due", 80_000, 1000)
    _assert_indexed(explain.query("schedule", **SCHEDULE, settled=True), "mailbox_pkey", 500, 3)
