"""The domain's values: what rows mean once they have left the database.

Times are aware datetimes in UTC. Rows become these structs by `msgspec.convert`, so a status that is not listed
here is refused at the edge.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

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


class ListedDelivery(msgspec.Struct, frozen=True):
    """A delivery as operators see it, with whose it is."""

    id: int
    notification_id: int
    batch_id: int
    recipient: str
    channel: str
    status: DeliveryStatus
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    failed_at: datetime | None
    code: str | None
    error: str | None
    held: str | None


class ShownDelivery(ListedDelivery, frozen=True):
    """One delivery with all its attempts."""

    history: list[Attempt]


class DeliveryCount(msgspec.Struct, frozen=True):
    """How many deliveries of a channel have this status and this error code."""

    channel: str
    status: DeliveryStatus
    code: str | None
    deliveries: Annotated[int, Meta(description="How many there are.")]


class Replayed(msgspec.Struct, frozen=True):
    """How many failed deliveries were made due again, and whether there may be others to replay."""

    replayed: int
    more: bool


class ChannelState(msgspec.Struct, frozen=True):
    """A channel, and whether it is used: paused by somebody, or resting after outages."""

    name: str
    description: str
    state: Literal["open", "paused", "resting"]
    paused_at: datetime | None
    rests_until: datetime | None
    rate: float | None
    retry: dict[str, Any] | None


class TypeState(msgspec.Struct, frozen=True):
    """A type of notification, and what was said about it."""

    name: str
    required: bool
    paused_at: datetime | None
    retry: dict[str, Any] | None


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
