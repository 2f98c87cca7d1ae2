"""The reference's three endpoints, with exactly their fields and texts."""

from __future__ import annotations

from typing import Any

import httpx

from helpers.http import assert_problem, later, request


async def test_schedule_status_cancel(api: httpx.AsyncClient, people: list[str]) -> None:
    at = later(days=30)
    body = {
        "recipients": [1, 2],
        "title": "Title",
        "message": "Message",
        "scheduled_at": at,
        "type": "system",
        "priority": "normal",
        "data": {},
    }
    answer = await api.post("/api/notifications/schedule/", json=body)
    assert answer.status_code == 201, answer.text
    scheduled = answer.json()
    first, second = scheduled["notification_ids"]
    assert scheduled == {
        "notification_ids": [first, second],
        "count": 2,
        "scheduled_at": at,
        "batch_id": scheduled["batch_id"],
        "skipped": [],
        "notifications": [{"id": first, "recipient": "1"}, {"id": second, "recipient": "2"}],
    }

    answer = await api.get(f"/api/notifications/{first}/schedule_status/")
    assert answer.status_code == 200
    status = answer.json()
    assert list(status)[:7] == [
        "id",
        "title",
        "scheduled_at",
        "scheduled_status",
        "is_sent",
        "sent_at",
        "created_at",
    ]
    assert status == {
        "id": first,
        "title": "Title",
        "scheduled_at": at,
        "scheduled_status": "pending",
        "is_sent": False,
        "sent_at": None,
        "created_at": status["created_at"],
        "cancel_reason": None,
        "failure_reason": None,
        "deliveries": [],
    }

    answer = await api.delete(f"/api/notifications/{first}/cancel_scheduled/")
    assert answer.status_code == 200
    assert answer.json() == {"message": "Notification cancelled successfully", "notification_id": first}
    answer = await api.delete(f"/api/notifications/{first}/cancel_scheduled/")
    assert assert_problem(answer, 409, "wrong-status")["notification_status"] == "cancelled"
    status = (await api.get(f"/api/notifications/{first}/schedule_status/")).json()
    assert (status["scheduled_status"], status["cancel_reason"]) == ("cancelled", "requested")


async def test_unknown_notification(api: httpx.AsyncClient) -> None:
    assert_problem(await api.get("/api/notifications/7/schedule_status/"), 404, "not-found")
    assert_problem(await api.delete("/api/notifications/7/cancel_scheduled/"), 404, "not-found")


async def test_unknown_recipients_are_skipped(api: httpx.AsyncClient, people: list[str], db: Any) -> None:
    answer = await api.post("/api/notifications/schedule/", json=request(recipients=["x", 1, "y", 1, "1"]))
    scheduled = answer.json()
    assert (scheduled["count"], scheduled["skipped"]) == (1, ["x", "y"])
    answer = await api.post("/api/notifications/schedule/", json=request(recipients=["x", "y"]))
    assert answer.status_code == 201
    assert answer.json() | {"scheduled_at": None} == {
        "notification_ids": [],
        "count": 0,
        "scheduled_at": None,
        "batch_id": None,
        "skipped": ["x", "y"],
        "notifications": [],
    }
    assert db.execute("select count(*) from notify.batch").fetchone() == (1,)
