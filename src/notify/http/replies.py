"""What calls answer: the structs of responses, with the words of the documentation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from notify.model import ListedDelivery, Priority, Status


class Placed(msgspec.Struct, frozen=True):
    """One recipient's notification."""

    id: int
    recipient: str


class Scheduled(msgspec.Struct, frozen=True):
    """What was scheduled."""

    notification_ids: Annotated[list[int], Meta(description="In the order of the recipients.")]
    count: Annotated[int, Meta(description="How many notifications there are.")]
    scheduled_at: Annotated[datetime, Meta(description="When they are due.")]
    batch_id: Annotated[int | None, Meta(description="The batch; null when every recipient was unknown.")]
    skipped: Annotated[list[str], Meta(description="Ids that are not registered and were left out.")]
    notifications: Annotated[list[Placed], Meta(description="Each id with its recipient.")]


class CancelledOne(msgspec.Struct, frozen=True):
    """The notification was pending, and is never sent now."""

    message: Literal["Notification cancelled successfully"]
    notification_id: int


class CancelledMany(msgspec.Struct, frozen=True):
    """How many pending notifications were cancelled."""

    cancelled: int


class Shown(msgspec.Struct, frozen=True):
    """A notification with its content."""

    id: int
    recipient: str
    batch_id: int
    type: str
    priority: Priority
    title: str
    message: str
    data: Annotated[Any, Meta(extra_json_schema={"type": "object"})]
    channels: list[str]
    reference: str | None
    status: Status
    scheduled_at: Annotated[datetime, Meta(description="When it is or was due.")]
    expires_at: datetime | None
    created_at: datetime
    seq: Annotated[int | None, Meta(description="Its place in the recipient's stream, once sent.")]
    sent_at: datetime | None
    read_at: datetime | None
    cancelled_at: datetime | None
    cancel_reason: Annotated[str | None, Meta(description="requested, expired, or preferences.")]
    failed_at: datetime | None
    failure_reason: str | None


class NotificationPage(msgspec.Struct, frozen=True):
    """A page of notifications."""

    items: list[Shown]
    next_cursor: Annotated[str | None, Meta(description="Continues after this page; null: it was the last.")]


class DeliveryPage(msgspec.Struct, frozen=True):
    """A page of deliveries."""

    items: list[ListedDelivery]
    next_cursor: Annotated[str | None, Meta(description="Continues after this page; null: it was the last.")]


class Counts(msgspec.Struct, frozen=True):
    """How many notifications of a batch have each status."""

    pending: int
    sending: int
    sent: int
    cancelled: int
    failed: int


class DeliveryCounts(msgspec.Struct, frozen=True):
    """How many deliveries have each status."""

    pending: int
    leased: int
    sent: int
    failed: int
    cancelled: int


class Batch(msgspec.Struct, frozen=True):
    """One schedule request: its content, and where its notifications stand."""

    id: int
    type: str
    priority: Priority
    title: str
    message: str
    data: Annotated[Any, Meta(extra_json_schema={"type": "object"})]
    channels: list[str]
    reference: str | None
    scheduled_at: Annotated[datetime, Meta(description="As first asked for.")]
    expires_at: datetime | None
    created_at: datetime
    count: Annotated[int, Meta(description="How many notifications it has.")]
    counts: Counts
    deliveries: Annotated[dict[str, DeliveryCounts], Meta(description="Its deliveries, by outside channel and status.")]


class Disabled(msgspec.Struct, frozen=True):
    """Since when nothing is sent to an address any more, and why."""

    disabled_at: datetime
    reason: str


class Recipient(msgspec.Struct, frozen=True):
    """A registered recipient."""

    id: str
    time_zone: str | None
    locale: str | None
    addresses: Annotated[Any, Meta(extra_json_schema={"type": "object"})]
    preferences: Annotated[Any, Meta(extra_json_schema={"type": "object"})]
    disabled: Annotated[
        dict[str, Disabled], Meta(description="By channel: addresses that nothing is sent to any more, as they failed.")
    ]
    created_at: datetime
    updated_at: datetime


class RecipientCounts(msgspec.Struct, frozen=True):
    """How many recipients were registered, and how many of those were new."""

    count: int
    created: int
    existing: int


class Enabled(msgspec.Struct, frozen=True):
    """Whether there was anything to forget of this address: that it failed, or was disabled."""

    channel: str
    enabled: bool


class Token(msgspec.Struct, frozen=True):
    """A recipient's token. It is not stored anywhere."""

    token: str
    expires_at: datetime


class Read(msgspec.Struct, frozen=True):
    """How many were marked read by this call, and where the inbox stands."""

    marked: int
    unread: int
    last_seq: int


class Live(msgspec.Struct, frozen=True):
    """The process runs."""

    status: Literal["live"]


class Ready(msgspec.Struct, frozen=True):
    """The process can serve."""

    status: Literal["ready"]
    checks: dict[str, str]
