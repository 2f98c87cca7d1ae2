"""Scheduling in all its variants, and what can be done with one notification."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from helpers.http import assert_problem, later, request
from helpers.rows import Db, call_one, drain, mailbox, stored, value

_PATH = "/api/notifications/schedule/"


async def schedule(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await api.post(_PATH, json=request(**changes))
    assert answer.status_code == 201, answer.text
    scheduled: dict[str, Any] = answer.json()
    return scheduled


async def only(api: httpx.AsyncClient, **changes: Any) -> int:
    """Schedule one; its id."""
    (id,) = (await schedule(api, **changes))["notification_ids"]
    assert isinstance(id, int)
    return id


async def test_doubles_are_one(api: httpx.AsyncClient, people: list[str]) -> None:
    scheduled = await schedule(api, recipients=["ada", 1, "1", {"id": 1}, "ada", 2])
    assert [placed["recipient"] for placed in scheduled["notifications"]] == ["ada", "1", "2"]
    assert scheduled["count"] == 3


async def test_objects_register_their_recipient(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    bob = {"id": "bob", "email": "bob@example.org", "addresses": {"sms": "+49"}, "time_zone": "Europe/Berlin"}
    scheduled = await schedule(api, recipients=[bob, {"id": 1, "locale": "de"}])
    assert (scheduled["count"], scheduled["skipped"]) == (2, [])
    found = (await api.get("/api/recipients/bob")).json()
    assert found["addresses"] == {"sms": "+49", "email": "bob@example.org"}
    assert found["time_zone"] == "Europe/Berlin"
    assert (await api.get("/api/recipients/1")).json()["locale"] == "de"


async def test_unknown_ones_as_asked(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    assert (await schedule(api, recipients=["x", "ada"], unknown_recipients=None))["skipped"] == ["x"]
    created = await schedule(api, recipients=["x", "ada"], unknown_recipients="create")
    assert (created["count"], created["skipped"]) == (2, [])
    answer = await api.post(_PATH, json=request(recipients=["ada", "y"], unknown_recipients="reject"))
    assert_problem(answer, 400, "unknown-recipients", "recipients")
    assert stored(db)[0] == 2


async def test_skipped_ones_are_logged(api: httpx.AsyncClient, people: list[str]) -> None:
    with capture_logs() as logs:
        await schedule(api, recipients=[*(f"x{n}" for n in range(20)), "ada"])
    (event,) = [log for log in logs if log["event"] == "recipients_skipped"]
    assert (event["count"], len(event["recipients"])) == (20, 10)


async def test_time_is_echoed_in_utc(api: httpx.AsyncClient, people: list[str]) -> None:
    for sent, told in (
        ("2030-12-28T10:00:00Z", "2030-12-28T10:00:00Z"),
        ("2030-12-28T10:00:00.000+02:00", "2030-12-28T08:00:00Z"),
        ("2030-12-28T10:00:00.250000-05:30", "2030-12-28T15:30:00.250000Z"),
    ):
        scheduled = await schedule(api, scheduled_at=sent)
        assert scheduled["scheduled_at"] == told
        status = await api.get(f"/api/notifications/{scheduled['notification_ids'][0]}/schedule_status/")
        assert status.json()["scheduled_at"] == told


@pytest.mark.parametrize(
    "changes",
    [{"scheduled_at": ...}, {"scheduled_at": None}, {"scheduled_at": "2020-01-01T00:00:00Z", "if_past": "send"}],
)
async def test_now(api: httpx.AsyncClient, people: list[str], db: Db, changes: dict[str, Any]) -> None:
    scheduled = await schedule(api, **changes)
    stored_at = value(db, "select scheduled_at from notify.batch")
    assert datetime.fromisoformat(scheduled["scheduled_at"]) == stored_at
    assert stored_at <= value(db, "select notify.now()")
    drain(db)
    status = (await api.get(f"/api/notifications/{scheduled['notification_ids'][0]}/schedule_status/")).json()
    assert (status["scheduled_status"], status["is_sent"]) == ("sent", True)
    assert status["sent_at"] >= status["scheduled_at"]


async def test_future_with_if_past_stays_future(api: httpx.AsyncClient, people: list[str]) -> None:
    at = later()
    assert (await schedule(api, scheduled_at=at, if_past="send"))["scheduled_at"] == at


async def test_everything_is_shown(api: httpx.AsyncClient, people: list[str]) -> None:
    content = {
        "title": "Coffee",
        "message": "It is ready ☕",
        "type": "kitchen",
        "priority": "high",
        "data": {"cup": {"size": [1, 2.5, None, True]}},
        "channels": ["inbox"],
        "reference": "order:42",
        "scheduled_at": "2030-12-28T10:00:00Z",
        "expires_at": "2030-12-29T10:00:00Z",
    }
    scheduled = await schedule(api, **content)
    id = scheduled["notification_ids"][0]
    shown = (await api.get(f"/api/notifications/{id}")).json()
    assert shown == content | {
        "id": id,
        "recipient": "ada",
        "batch_id": scheduled["batch_id"],
        "status": "pending",
        "created_at": shown["created_at"],
        "seq": None,
        "sent_at": None,
        "read_at": None,
        "cancelled_at": None,
        "cancel_reason": None,
        "failed_at": None,
        "failure_reason": None,
    }
    assert_problem(await api.get(f"/api/notifications/{id + 1}"), 404, "not-found")


async def test_reschedule(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    id = await only(api)
    answer = await api.patch(f"/api/notifications/{id}", json={"scheduled_at": "2030-06-01T12:00:00+02:00"})
    assert answer.status_code == 200
    assert (answer.json()["scheduled_at"], answer.json()["scheduled_status"]) == ("2030-06-01T10:00:00Z", "pending")
    await api.post(f"/api/notifications/{id}/send")
    answer = await api.patch(f"/api/notifications/{id}", json={"scheduled_at": later()})
    assert assert_problem(answer, 409, "wrong-status")["notification_status"] == "sent"
    assert_problem(await api.patch("/api/notifications/999", json={"scheduled_at": later()}), 404, "not-found")


async def test_send_now(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    id = await only(api)
    answer = await api.post(f"/api/notifications/{id}/send")
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["scheduled_status"], answer.json()["is_sent"]) == (id, "sent", True)
    assert mailbox(db, "ada")[:2] == (1, 1)
    answer = await api.post(f"/api/notifications/{id}/send")
    assert assert_problem(answer, 409, "wrong-status")["notification_status"] == "sent"
    assert_problem(await api.post("/api/notifications/999/send"), 404, "not-found")
    cancelled = await only(api)
    await api.delete(f"/api/notifications/{cancelled}/cancel_scheduled/")
    answer = await api.post(f"/api/notifications/{cancelled}/send")
    assert assert_problem(answer, 409, "wrong-status")["notification_status"] == "cancelled"
    assert mailbox(db, "ada")[:2] == (1, 1)


async def test_sent_ones_cannot_be_cancelled(api: httpx.AsyncClient, people: list[str]) -> None:
    id = await only(api)
    await api.post(f"/api/notifications/{id}/send")
    answer = await api.delete(f"/api/notifications/{id}/cancel_scheduled/")
    assert assert_problem(answer, 409, "wrong-status")["notification_status"] == "sent"


async def test_retry(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    id = await only(api)
    assert_problem(await api.post(f"/api/notifications/{id}/retry"), 409, "wrong-status")
    call_one(db, "park", id=id, reason="broken")
    status = (await api.get(f"/api/notifications/{id}/schedule_status/")).json()
    assert (status["scheduled_status"], status["failure_reason"]) == ("failed", "broken")
    for body, minutes in ((None, 10), ({"delay_minutes": 0.5}, 0.5), ({}, 10)):
        answer = await api.post(f"/api/notifications/{id}/retry", json=body)
        assert (answer.status_code, answer.json()["scheduled_status"]) == (200, "pending")
        ahead = value(db, "select extract(epoch from due_at - notify.now())::float8 from notify.notification")
        assert minutes * 60 - 10 < ahead <= minutes * 60
        call_one(db, "park", id=id, reason="broken")
    assert_problem(await api.post("/api/notifications/999/retry"), 404, "not-found")


async def test_cancel_by_reference(api: httpx.AsyncClient, people: list[str]) -> None:
    first = await schedule(api, recipients=[1, 2, "ada"], reference="invoice:42")
    await schedule(api, reference="invoice:43")
    await api.post(f"/api/notifications/{first['notification_ids'][0]}/send")
    for count in (2, 0):
        answer = await api.delete("/api/notifications", params={"reference": "invoice:42"})
        assert (answer.status_code, answer.json()) == (200, {"cancelled": count})


async def test_batch(api: httpx.AsyncClient, people: list[str]) -> None:
    scheduled = await schedule(api, recipients=[1, 2, "ada"], data={"a": 1}, reference="r")
    await api.post(f"/api/notifications/{scheduled['notification_ids'][0]}/send")
    path = f"/api/batches/{scheduled['batch_id']}"
    batch = (await api.get(path)).json()
    assert batch == {
        "id": scheduled["batch_id"],
        "type": "system",
        "priority": "normal",
        "title": "Coffee",
        "message": "It is ready",
        "data": {"a": 1},
        "channels": ["inbox"],
        "reference": "r",
        "scheduled_at": scheduled["scheduled_at"],
        "expires_at": None,
        "created_at": batch["created_at"],
        "count": 3,
        "counts": {"pending": 2, "sending": 0, "sent": 1, "cancelled": 0, "failed": 0},
        "deliveries": {},
    }
    assert (await api.delete(path)).json() == {"cancelled": 2}
    assert (await api.delete(path)).json() == {"cancelled": 0}
    assert (await api.get(path)).json()["counts"]["cancelled"] == 2
    for method in ("GET", "DELETE"):
        assert_problem(await api.request(method, "/api/batches/999"), 404, "not-found")
