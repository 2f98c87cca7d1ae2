"""What was said and heard: every call with its outcome, every frame and request with its time, and the rows at the end.

All times are seconds since 1970; callers, listeners and the server share one machine and so one clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["ok", "failed", "unknown"]


@dataclass(slots=True)
class Answer:
    """One answer of the service to a call that was perhaps repeated."""

    status: int
    body: bytes
    replayed: bool = False


@dataclass(slots=True)
class Call:
    """One call. Its effect, if any, lies between `started` and `ended`, which is infinite where it is unknown."""

    kind: str
    started: float
    ended: float = math.inf
    outcome: Outcome = "unknown"
    key: str | None = None
    reference: str | None = None
    # Schedules: for whom, when (None: now), and what was acknowledged.
    recipients: tuple[str, ...] = ()
    due_at: float | None = None
    expires_at: float | None = None
    ids: dict[str, int] = field(default_factory=dict)
    channels: tuple[str, ...] = ("inbox",)
    retries: int = 0
    # Changes: of which notification, and when it is due by them (None: not known).
    id: int | None = None
    # Cancels by reference: how many. Refusals: the status that was told.
    count: int = 0
    told: str | None = None
    answers: list[Answer] = field(default_factory=list)
    why: str = ""


@dataclass(slots=True)
class Opened:
    """A connection stands; `after` is the seq it continues from, None where the server chose it (`acked`)."""

    after: int | None
    epoch: str
    last_seq: int


@dataclass(slots=True)
class Frame:
    """A notification that arrived. `live` is false for one read from the inbox after a reset."""

    seq: int
    id: int
    recipient: str
    title: str
    reference: str | None
    due_at: float
    sent_at: float
    arrived: float
    live: bool = True


@dataclass(slots=True)
class Reset:
    """The server said that the stream goes on after `last_seq`."""

    last_seq: int


@dataclass(slots=True)
class Tick:
    """The server said that all up to `last_seq` was sent."""

    last_seq: int


@dataclass(slots=True)
class Heard:
    """What one recipient's listener heard, in order, over all its connections."""

    recipient: str
    events: list[Opened | Frame | Reset | Tick] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    handled: int = 0


@dataclass(slots=True)
class Request:
    """One call of the webhook, as it came to the receiver; whatever that answered."""

    stable_id: str
    id: int
    recipient: str
    title: str
    reference: str | None
    arrived: float
    # Instead of an answer the receiver cut a connection that had been used before.
    cut: bool = False


@dataclass(slots=True)
class History:
    """All that happened."""

    calls: list[Call] = field(default_factory=list)
    listeners: dict[str, Heard] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def begin(self, call: Call) -> Call:
        self.calls.append(call)
        return call

    @property
    def frames(self) -> Iterator[Frame]:
        for heard in self.listeners.values():
            yield from (event for event in heard.events if isinstance(event, Frame))


@dataclass(slots=True)
class Batch:
    id: int
    reference: str | None
    title: str
    scheduled_at: float
    expires_at: float | None
    channels: list[str] = field(default_factory=lambda: ["inbox"])

    @property
    def has_inbox(self) -> bool:
        return "inbox" in self.channels


@dataclass(slots=True)
class Row:
    """A stored notification."""

    id: int
    batch_id: int
    recipient: str
    status: str
    due_at: float
    seq: int | None = None
    sent_at: float | None = None
    read_at: float | None = None
    cancelled_at: float | None = None
    cancel_reason: str | None = None
    failure_reason: str | None = None


@dataclass(slots=True)
class Mailbox:
    recipient: str
    last_seq: int
    unread: int


@dataclass(slots=True)
class Attempt:
    """A try of a delivery, as it was recorded."""

    delivery_id: int
    number: int
    outcome: str
    code: str | None = None


@dataclass(slots=True)
class Delivery:
    """A notification on the webhook. `retries_from`: attempts before it was replayed, which count no more."""

    id: int
    notification_id: int
    status: str
    attempts: int
    retries_from: int = 0
    code: str | None = None
    tried: list[Attempt] = field(default_factory=list)


@dataclass(slots=True)
class Stored:
    """The rows of one snapshot, and when it was taken. Deliveries are by their notification's id."""

    at: float
    batches: dict[int, Batch]
    rows: dict[int, Row]
    mailboxes: dict[str, Mailbox]
    deliveries: dict[int, Delivery] = field(default_factory=dict)
