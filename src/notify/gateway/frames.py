"""The format of every frame, and of the inbox's items: no other module knows it.

A notification is written as one JSON object in two pieces that are the batch's, encoded once and shared by all its
recipients, with the notification's own id, recipient and times spliced in between. Live frames, replayed frames
and inbox items all come out of `notification`, so they cannot differ.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import msgspec

from notify.model import Priority

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StreamNotification(msgspec.Struct, frozen=True):
    """A notification as its recipient sees it. Times are ISO 8601 in UTC, with Z."""

    id: int
    recipient: str
    batch_id: int
    type: str
    priority: Priority
    title: str
    message: str
    data: dict[str, Any]
    reference: str | None
    scheduled_at: datetime
    sent_at: datetime
    created_at: datetime
    expires_at: datetime | None


class InboxItem(msgspec.Struct, frozen=True):
    """One place of a recipient's stream, as GET /api/inbox tells it."""

    seq: int
    read_at: datetime | None
    notification: StreamNotification


class Inbox(msgspec.Struct, frozen=True):
    """A page of a stream and where the stream stands, of one snapshot."""

    items: list[InboxItem]
    last_seq: int
    unread: int
    epoch: str


class ContentRow(msgspec.Struct, frozen=True):
    """A batch as read from the database; `data` is JSON text."""

    batch_id: int
    type: str
    priority: Priority
    title: str
    message: str
    data: str
    reference: str | None
    created_at: datetime
    expires_at: datetime | None


class Content(msgspec.Struct, frozen=True, gc=False):
    """The batch's two pieces of JSON: from `batch_id` to `reference`, and `created_at` with `expires_at`."""

    head: str
    tail: str

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return len(self.head) + len(self.tail) + 250


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """The first frame: whose stream this is and where it stands."""

    recipient: str
    epoch: str
    last_seq: int
    unread: int


class Reset(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    """The stream does not go on from the client's cursor: read the inbox. Live frames follow `last_seq`."""

    epoch: str
    last_seq: int
    unread: int


class Tick(msgspec.Struct, frozen=True, tag_field="type", tag="tick"):
    """A sign of life; all up to `last_seq` has been sent before it."""

    last_seq: int
    unread: int


class Failure(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """What went wrong: `code` for programs, `detail` for people."""

    code: str
    detail: str


def encode(frame: Hello | Reset | Tick | Failure) -> str:
    """The text of a frame."""
    return msgspec.json.encode(frame).decode()


def quoted(value: str) -> str:
    """A text as JSON."""
    return msgspec.json.encode(value).decode()


def content(row: ContentRow) -> Content:
    """Encode what all notifications of a batch share."""
    head = {name: getattr(row, name) for name in ("batch_id", "type", "priority", "title", "message")}
    head |= {"data": msgspec.Raw(row.data.encode()), "reference": row.reference}
    return Content(_members(head), _members({"created_at": row.created_at, "expires_at": row.expires_at}))


def _members(values: dict[str, Any]) -> str:
    return msgspec.json.encode(values).decode()[1:-1]


def time(value: datetime) -> str:
    """A time as JSON."""
    return msgspec.json.encode(value).decode()


@lru_cache(4096)  # one signal has one sent_at, and most of a batch are due at one time
def time_of_micros(value: int) -> str:
    """A time given in microseconds since 1970, as JSON."""
    return time(_EPOCH + timedelta(microseconds=value))


def notification(id: int, recipient: str, content: Content, scheduled_at: str, sent_at: str) -> str:
    """The notification object. `recipient` and both times are JSON already."""
    return (
        f'{{"id":{id},"recipient":{recipient},{content.head},'
        f'"scheduled_at":{scheduled_at},"sent_at":{sent_at},{content.tail}}}'
    )


def notification_frame(seq: int, notification: str) -> str:
    """The frame of a notification object."""
    return f'{{"type":"notification","seq":{seq},"notification":{notification}}}'


def inbox_item(seq: int, read_at: datetime | None, notification: str) -> InboxItem:
    """The inbox's item of a notification object."""
    # Encoded already: msgspec writes Raw as it is, and the struct still tells the schema.
    return InboxItem(seq, read_at, cast(StreamNotification, msgspec.Raw(notification.encode())))
