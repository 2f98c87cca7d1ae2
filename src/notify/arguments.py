"""What the Python client's arguments mean: calls are made of them, and results of the rows that come back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

import msgspec

from notify import calls
from notify import cursor as cursors
from notify.calls import Call, Changed, Upserted
from notify.channels.addresses import check_addresses
from notify.errors import InvalidValue, NotFound
from notify.inputs import (
    MOST_ID,
    as_id,
    as_integer,
    as_limit,
    as_minutes,
    as_object,
    as_recipient,
    as_recipients,
    as_text,
    as_texts,
    as_time,
)
from notify.model import INBOX, Accepted, Notification, Page, ScheduleStatus, UnknownPolicy

log = logging.getLogger("notify.scheduler")


class ScheduleOptions(TypedDict, total=False):
    """What schedule_notification also takes, by name."""

    channels: Sequence[str]
    """Where it goes; the inbox alone by default."""
    reference: str | None
    """The caller's own key, as `invoice:42`; cancel_reference takes it."""
    expires_at: datetime | None
    """What is not sent by then is cancelled instead."""
    idempotency_key: str | None
    """A repeated call with the same one returns the first one's ids."""
    unknown_recipients: UnknownPolicy | None
    """skip, create or reject; by default what NOTIFY_UNKNOWN_RECIPIENTS says, or skip."""
    retry: Mapping[str, Any] | None
    """How failures of its deliveries are dealt with: delays and max_age in seconds, jitter, final (error codes)."""
    spread_over: int | None
    """Minutes over which its notifications are spread from `scheduled_at` on, up to a week."""


class RecipientFields(TypedDict, total=False):
    """What is known of a recipient; what is left out stays as it was."""

    time_zone: str | None
    """An IANA name."""
    locale: str | None
    """A BCP 47 tag."""
    addresses: Mapping[str, Any] | None
    """By channel: a text, or an object."""
    preferences: Mapping[str, Any] | None
    """opt_out and quiet_hours are kept to on outside channels; all else is the application's own. What the recipient
    has opted out of itself stays until opt_in lifts it."""


def schedule(
    default_policy: UnknownPolicy,
    recipients: Sequence[int | str],
    title: str,
    message: str,
    scheduled_at: datetime | None,
    notif_type: str,
    priority: str,
    data: Mapping[str, Any] | None,
    *,
    channels: Sequence[str] = (INBOX,),
    reference: str | None = None,
    expires_at: datetime | None = None,
    idempotency_key: str | None = None,
    unknown_recipients: UnknownPolicy | None = None,
    retry: Mapping[str, Any] | None = None,
    spread_over: int | None = None,
) -> Call[Accepted, list[Accepted]]:
    """Of schedule_notification's arguments and ScheduleOptions. Raises InvalidValue naming the field."""
    policy = default_policy if unknown_recipients is None else unknown_recipients
    return calls.schedule(
        as_recipients(recipients),
        as_text("title", title),
        as_text("message", message),
        as_time("scheduled_at", scheduled_at),
        type=as_text("type", notif_type),
        priority=as_text("priority", priority),
        data="{}" if data is None else as_object("data", data),
        channels=as_texts("channels", channels),
        idempotency_key=_optional_text("idempotency_key", idempotency_key),
        reference=_optional_text("reference", reference),
        expires_at=as_time("expires_at", expires_at),
        unknown_recipients=as_text("unknown_recipients", policy),
        options=_options(retry, spread_over),
    )


def cancel(id: int) -> Call[Changed, Changed]:
    return calls.cancel(as_id(id))


def send(id: int, *, wait: bool) -> Call[Changed, Changed]:
    return calls.send(as_id(id), wait=wait)


def retry(id: int, delay_minutes: float) -> Call[Changed, Changed]:
    return calls.retry(as_id(id), as_minutes("delay_minutes", delay_minutes))


def reschedule(id: int, scheduled_at: datetime) -> Call[Changed, Changed]:
    """Here a time must be given: none would mean now, and that is what `send` is for."""
    at = as_time("scheduled_at", scheduled_at)
    if at is None:
        raise InvalidValue("scheduled_at must be given", field="scheduled_at")
    return calls.reschedule(as_id(id), at)


def schedule_status(id: int) -> Call[ScheduleStatus, ScheduleStatus | None]:
    return calls.schedule_status(as_id(id))


def cancel_reference(reference: str) -> Call[int, int]:
    return calls.cancel_reference(as_text("reference", reference))


def pending(limit: int, cursor: str | None) -> Call[Notification, list[Notification]]:
    """Of a page's size, and the cursor that the page before it ended with."""
    return calls.pending_notifications(as_limit(limit), None if cursor is None else _position(cursor))


def upsert(
    id: int | str,
    *,
    time_zone: str | None = None,
    locale: str | None = None,
    addresses: Mapping[str, Any] | None = None,
    preferences: Mapping[str, Any] | None = None,
) -> Call[Upserted, list[Upserted]]:
    """Of a recipient's id and RecipientFields. Raises InvalidValue naming the field."""
    row: dict[str, Any] = {"id": as_recipient(id, "id")}
    for field, text in (("time_zone", time_zone), ("locale", locale)):
        if text is not None:
            row[field] = as_text(field, text)
    for field, value in (("addresses", addresses), ("preferences", preferences)):
        if value is not None:
            row[field] = msgspec.Raw(as_object(field, value))
    check_addresses("addresses.", addresses or {})
    return calls.upsert_recipients([row], replace=False)


def ids(accepted: list[Accepted]) -> list[int]:
    """The ids in the recipients' order; who is unknown was skipped, is logged, and blocks nobody."""
    skipped = [row.recipient for row in accepted if row.notification_id is None]
    if skipped:
        log.warning("%d unknown recipients skipped: %s", len(skipped), ", ".join(skipped[:10]))
    return [row.notification_id for row in accepted if row.notification_id is not None]


def done(id: int, changed: Changed) -> bool:
    """Whether the change was made. Raises NotFound where there is nothing to change."""
    if changed.status is None:
        raise NotFound(f"there is no notification {id}", field="id")
    return changed.done


def found(id: int, status: ScheduleStatus | None) -> ScheduleStatus:
    """The status. Raises NotFound for none."""
    if status is None:
        raise NotFound(f"there is no notification {id}", field="id")
    return status


def page(limit: int, rows: list[Notification]) -> Page:
    """The rows, and where they go on."""
    last = rows[-1] if len(rows) == limit else None
    return Page(rows, None if last is None else cursors.encode((last.scheduled_at, last.id)))


def _position(cursor: str) -> tuple[datetime, int]:
    refusal = InvalidValue("the cursor is not one that a page returned", field="cursor")
    if not isinstance(cursor, str):
        raise refusal
    at, id = cursors.decode(cursor, tuple[datetime, int])
    # As `page` wrote it: nothing else has these forms.
    if at.tzinfo is not UTC or not 1 <= id <= MOST_ID:
        raise refusal
    return at, id


def _options(retry: Mapping[str, Any] | None, spread_over: int | None) -> str | None:
    """What few requests have, as JSON; None: none of it."""
    given: dict[str, Any] = {}
    if retry is not None:
        given["retry"] = msgspec.Raw(as_object("retry", retry))
    if spread_over is not None:
        given["spread_over"] = as_integer("spread_over", spread_over)
    return msgspec.json.encode(given).decode() if given else None


def _optional_text(field: str, value: str | None) -> str | None:
    return None if value is None else as_text(field, value)
