"""Lists of deliveries, and replays, read along an index however many deliveries there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from helpers.plans import Explainer
from helpers.rows import Db
from notify.postgres.connection import connect_sync

_TABLES = ("delivery", "notification", "batch", "recipient", "attempt")
# Delivery n is of notification n, on one of two channels; one in a hundred failed, and one in fifty is pending.
_ROWS = """
insert into notify.channel (name, description) values ('email', 'for tests'), ('webhook', 'for tests');
insert into notify.recipient (id, created_at, updated_at)
select n::text, now(), now() from generate_series(1, 20000) n;
insert into notify.mailbox (recipient) select n::text from generate_series(1, 20000) n;
insert into notify.batch (type, priority, title, message, data, channels, scheduled_at, created_at)
select 'system', 'normal', 'T', 'M', '{}', '{email,webhook}', now(), now() from generate_series(1, 2000) n;
insert into notify.notification (batch_id, recipient, priority, due_at, status, sent_at)
select (select min(b.id) from notify.batch b) + n % 2000, (1 + n % 20000)::text, 'normal', now(), 'sent', now()
from generate_series(1, 300000) n;
insert into notify.delivery (notification_id, channel, due_at, status, sent_at, failed_at, code)
select n.id, case when n.id % 2 = 0 then 'email' else 'webhook' end, now(),
  case when n.id % 100 = 1 then 'failed' when n.id % 50 = 2 then 'pending' else 'sent' end::notify.delivery_status,
  case when n.id % 100 <> 1 and n.id % 50 <> 2 then now() end, case when n.id % 100 = 1 then now() end,
  case when n.id % 100 = 1 then 'http-500' end
from notify.notification n order by n.id;
"""
_OF_NOTIFICATION = "delivery_notification_id_channel_key"
ANY: dict[str, Any] = {
    "status": None,
    "channel": None,
    "code": None,
    "recipient": None,
    "batch_id": None,
    "notification_id": None,
    "before": None,
    "floor": None,
    "limit": 51,
}
# Statement, its parameters, the index of deliveries that it needs, and the most pages it may touch.
CASES: list[tuple[str, dict[str, Any], str, int]] = [
    ("list_deliveries", ANY, "delivery_pkey", 400),
    ("list_deliveries", ANY | {"before": 150_000}, "delivery_pkey", 400),
    # What nobody has: a walk over 20,000 rows at most.
    ("list_deliveries", ANY | {"channel": "nobody's", "floor": 280_001}, "delivery_pkey", 1000),
    ("list_deliveries", ANY | {"status": "sent", "code": "none", "floor": 280_001}, "delivery_pkey", 1000),
    ("delivery_floor", {"before": None, "rows": 20_000}, "delivery_pkey", 1000),
    ("list_unsent_deliveries", ANY | {"status": "failed"}, "delivery_unsent", 600),
    ("list_unsent_deliveries", ANY | {"status": "leased"}, "delivery_unsent", 12_000),
    ("list_unsent_deliveries", ANY | {"status": "pending", "channel": "webhook"}, "delivery_unsent", 12_000),
    ("unsent_delivery_floor", {"before": None, "rows": 2000}, "delivery_unsent", 3000),
    ("list_deliveries_of_notification", ANY | {"notification_id": 777}, _OF_NOTIFICATION, 30),
    ("list_deliveries_of_batch", ANY | {"batch_id": 7}, _OF_NOTIFICATION, 1500),
    (
        "list_deliveries_of_batch",
        ANY | {"batch_id": 7, "status": "failed"},
        _OF_NOTIFICATION,
        1500,
    ),
    ("list_deliveries_of_recipient", ANY | {"recipient": "77"}, _OF_NOTIFICATION, 200),
    ("show_delivery", {"id": 777}, "delivery_pkey", 20),
    ("replay_deliveries", {"ids": [201, 301]}, "delivery_pkey", 300),
    ("get_batch", {"id": 7}, _OF_NOTIFICATION, 2000),
]


@pytest.fixture(scope="module")
def explain(shared_dsn: str) -> Iterator[Explainer]:
    with connect_sync(shared_dsn, name="plans") as db:
        for table in _TABLES:
            db.execute(f"alter table notify.{table} set (autovacuum_enabled = off)".encode())
        _fill(db)
        yield Explainer(db)


def _fill(db: Db) -> None:
    with db.transaction():
        db.execute("set local session_replication_role to replica")
        db.execute(_ROWS)
    db.execute("analyze notify.delivery, notify.notification, notify.batch, notify.recipient, notify.mailbox")


@pytest.mark.parametrize("settled", [False, True], ids=["first", "settled"])
@pytest.mark.parametrize(("name", "params", "index", "pages"), CASES, ids=lambda given: str(given)[:40])
def test_reads_along_its_index(
    explain: Explainer, settled: bool, name: str, params: dict[str, Any], index: str, pages: int
) -> None:
    wanted = {key: params[key] for key in params if f"%({key})s" in explain.text(name)}
    plans = explain.query(name, settled=settled, **wanted)
    scans = plans.scans("delivery")
    assert "Seq Scan" not in scans | plans.scans("notification"), plans
    assert index in {scan.rpartition(" ")[2] for scan in scans}, scans
    assert plans.pages <= pages, (plans.pages, str(plans))
