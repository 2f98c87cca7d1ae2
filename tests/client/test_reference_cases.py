"""The reference's twelve Python cases, for the sync and the async client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from client.either import Either
from helpers.rows import Db, column, one, statuses, stored, value


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


async def _schedule(client: Either, *recipients: int | str) -> list[int]:
    ids: list[int] = await client.schedule_notification(list(recipients or ("ada",)), "Coffee", "It is ready", _later())
    return ids


async def test_single_recipient(client: Either, shared: Db) -> None:
    at = _later()
    (id,) = await client.schedule_notification(
        recipients=["ada"],
        title="Coffee",
        message="It is ready",
        scheduled_at=at,
        notif_type="kitchen",
        priority="high",
        data={"cups": 2},
    )
    row = one(
        shared,
        "select n.recipient, n.status::text, n.due_at, b.title, b.message, b.type, b.priority::text, b.data"
        " from notify.notification n join notify.batch b on b.id = n.batch_id where n.id = %s",
        id,
    )
    assert row == {
        "recipient": "ada",
        "status": "pending",
        "due_at": at,
        "title": "Coffee",
        "message": "It is ready",
        "type": "kitchen",
        "priority": "high",
        "data": {"cups": 2},
    }


async def test_multiple_recipients(client: Either, shared: Db) -> None:
    await client.upsert_recipient(1)
    ids = await _schedule(client, 1, "bob", "ada")
    assert ids == sorted(set(ids))
    assert column(shared, "select recipient from notify.notification where id = any (%s) order by id", ids) == [
        "1",
        "bob",
        "ada",
    ]
    assert value(shared, "select count(distinct batch_id) from notify.notification where id = any (%s)", ids) == 1


async def test_unknown_recipients_are_logged_and_block_nobody(
    client: Either, shared: Db, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await _schedule(client, "nobody", "ada")
    assert column(shared, "select recipient from notify.notification where id = any (%s)", ids) == ["ada"]
    assert "nobody" in caplog.text
    assert await _schedule(client, "nobody") == []


async def test_past_date(client: Either, shared: Db) -> None:
    before = stored(shared)
    with pytest.raises(ValueError, match="future"):
        await client.schedule_notification(["ada"], "Coffee", "It is ready", datetime.now(UTC) - timedelta(seconds=1))
    assert stored(shared) == before


async def test_empty_recipients(client: Either, shared: Db) -> None:
    before = stored(shared)
    with pytest.raises(ValueError, match="empty"):
        await client.schedule_notification([], "Coffee", "It is ready", _later())
    assert stored(shared) == before


async def test_cancel_pending(client: Either, shared: Db) -> None:
    (id,) = await _schedule(client)
    assert await client.cancel_scheduled(id) is True
    assert statuses(shared, [id]) == ["cancelled"]
    assert await client.cancel_scheduled(id) is False


async def test_cannot_cancel_sent(client: Either, shared: Db) -> None:
    (id,) = await _schedule(client)
    assert await client.send_scheduled_notification(id) is True
    assert await client.cancel_scheduled(id) is False
    assert statuses(shared, [id]) == ["sent"]


async def test_get_pending(client: Either) -> None:
    pending, cancelled = await _schedule(client, "ada", "bob")
    await client.cancel_scheduled(cancelled)
    page = await client.get_pending_notifications(limit=1_000)
    found = {row.id: row for row in page}
    assert page.next_cursor is None
    assert cancelled not in found
    row = found[pending]
    assert (row.recipient, row.title, row["status"], row.data) == ("ada", "Coffee", "pending", {})
    assert [row.scheduled_at for row in page] == sorted(row.scheduled_at for row in page)


async def test_get_pending_goes_on_where_a_page_ended(client: Either) -> None:
    await _schedule(client, "ada", "bob")
    await _schedule(client, "ada")
    whole = await client.get_pending_notifications(limit=1_000)
    found, cursor = [], None
    for _ in range(len(whole) + 1):
        page = await client.get_pending_notifications(limit=1, cursor=cursor)
        found += [row.id for row in page]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [row.id for row in whole]


async def test_send_scheduled(client: Either, shared: Db) -> None:
    (id,) = await _schedule(client)
    assert await client.send_scheduled_notification(id) is True
    row = one(shared, "select status::text, seq is not null as numbered from notify.notification where id = %s", id)
    assert row == {"status": "sent", "numbered": True}
    assert await client.send_scheduled_notification(id) is False


async def test_cannot_send_cancelled(client: Either, shared: Db) -> None:
    (id,) = await _schedule(client)
    await client.cancel_scheduled(id)
    assert await client.send_scheduled_notification(id) is False
    assert statuses(shared, [id]) == ["cancelled"]


async def test_get_status(client: Either) -> None:
    at = _later()
    (id,) = await client.schedule_notification(["ada"], "Coffee", "It is ready", at)
    status = await client.get_schedule_status(id)
    names = ("id", "title", "scheduled_at", "scheduled_status", "is_sent", "sent_at")
    assert [status[name] for name in names] == [id, "Coffee", at, "pending", False, None]
    assert abs(status.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    await client.send_scheduled_notification(id)
    status = await client.get_schedule_status(id)
    assert (status.scheduled_status, status.is_sent) == ("sent", True)
    assert status.sent_at >= status.created_at
    with pytest.raises(KeyError):
        status["nothing"]


async def test_retry_failed(client: Either, shared: Db) -> None:
    (id,) = await _schedule(client)
    assert value(shared, "select notify.park(%s, 'broken')", id) is True
    assert (await client.get_schedule_status(id)).failure_reason == "broken"
    assert await client.retry_failed_notification(id, retry_delay_minutes=10) is True
    status = await client.get_schedule_status(id)
    assert status.scheduled_status == "pending"
    delay = status.scheduled_at - value(shared, "select notify.now()")
    assert timedelta(minutes=9) < delay <= timedelta(minutes=10)


async def test_cannot_retry_sent(client: Either, shared: Db) -> None:
    (id,) = await _schedule(client)
    await client.send_scheduled_notification(id)
    assert await client.retry_failed_notification(id) is False
    assert statuses(shared, [id]) == ["sent"]


async def test_reschedule(client: Either) -> None:
    (id,) = await _schedule(client)
    at = _later() + timedelta(days=1)
    assert await client.reschedule(id, at) is True
    assert (await client.get_schedule_status(id)).scheduled_at == at
    await client.cancel_scheduled(id)
    assert await client.reschedule(id, at) is False


async def test_cancel_reference(client: Either, shared: Db) -> None:
    reference = f"invoice:{client.kind}"
    ids = await client.schedule_notification(["ada", "bob"], "Invoice", "42", _later(), reference=reference)
    assert await client.cancel_reference(reference) == 2
    assert statuses(shared, ids) == ["cancelled", "cancelled"]
    assert await client.cancel_reference(reference) == 0


async def test_an_idempotency_key_gives_the_first_ids_again(client: Either, shared: Db) -> None:
    at, key = _later(), f"key:{client.kind}"
    first = await client.schedule_notification(["ada"], "Coffee", "Ready", at, idempotency_key=key)
    before = stored(shared)
    assert await client.schedule_notification(["ada"], "Coffee", "Ready", at, idempotency_key=key) == first
    assert stored(shared) == before
    with pytest.raises(ValueError, match="another request"):
        await client.schedule_notification(["bob"], "Coffee", "Ready", at, idempotency_key=key)


async def test_upsert_recipient(client: Either, shared: Db) -> None:
    name = f"cleo:{client.kind}"
    assert await client.upsert_recipient(name, time_zone="Europe/Berlin", addresses={"email": "c@example.org"}) is True
    assert await client.upsert_recipient(name, locale="de", preferences={"quiet": True}) is False
    row = one(shared, "select time_zone, locale, addresses, preferences from notify.recipient where id = %s", name)
    assert row == {
        "time_zone": "Europe/Berlin",
        "locale": "de",
        "addresses": {"email": "c@example.org"},
        "preferences": {"quiet": True},
    }


@pytest.mark.parametrize(
    "call",
    ["cancel_scheduled", "get_schedule_status", "send_scheduled_notification", "retry_failed_notification"],
)
async def test_an_unknown_id(client: Either, call: str) -> None:
    with pytest.raises(LookupError, match="there is no notification 9223372036854775807"):
        await getattr(client, call)(2**63 - 1)
