"""The domain's values: what rows mean once they have left the database.

Times are aware datetimes in UTC. Rows become these structs by `msgspec.convert`, so a status that is not listed
here is refused at the edge.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

Status = Literal["pending", "sending", "sent", "cancelled", "failed"]
Priority = Literal["low", "normal", "high", "urgent"]
DeliveryStatus = Literal["pending", "leased", "sent", "failed", "cancelled"]
UnknownPolicy = Literal["skip", "create", "reject"]

INBOX = "inbox"


class Readable:
    """Fields can also be read as items, as `status["is_sent"]`: the reference returned dicts."""

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None


class Accepted(msgspec.Struct, frozen=True):
    """What schedule() says of one recipient; `notification_id` is None where it was unknown and skipped."""

    recipient: str
    notification_id: int | None
    batch_id: int | None
    replayed: bool


class Attempt(msgspec.Struct, frozen=True):
    """One try of a delivery, and what came of it. Of a worker that was lost, `finished_at` is when that was found."""

    number: int
    started_at: datetime
    finished_at: datetime
    outcome: Literal["sent", "retry", "failed"]
    code: str | None
    detail: str | None


class Delivery(msgspec.Struct, frozen=True):
    """One notification on one outside channel."""

    id: int
    channel: str
    status: DeliveryStatus
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    error: str | None
    code: str | None
    history: list[Attempt]


class ScheduleStatus(Readable, msgspec.Struct, frozen=True):
    """Where a notification stands; the reference's fields first."""

    id: int
    title: str
    scheduled_at: datetime
    scheduled_status: Status
    is_sent: bool
    sent_at: datetime | None
    created_at: datetime
    cancel_reason: str | None
    failure_reason: str | None
    deliveries: list[Delivery]


class Notification(Readable, msgspec.Struct, frozen=True):
    """One recipient's copy of a batch, with its content."""

    id: int
    recipient: str
    batch_id: int
    type: str
    priority: Priority
    title: str
    message: str
    data: dict[str, Any]
    channels: list[str]
    reference: str | None
    status: Status
    scheduled_at: datetime
    expires_at: datetime | None
    created_at: datetime
    seq: int | None
    sent_at: datetime | None
    read_at: datetime | None
    cancelled_at: datetime | None
    cancel_reason: str | None
    failed_at: datetime | None
    failure_reason: str | None


class Page(list[Notification]):
    """Notifications, and the cursor that continues after the last of them; None: there are no more."""

    def __init__(self, items: list[Notification], next_cursor: str | None) -> None:
        super().__init__(items)
        self.next_cursor = next_cursor
