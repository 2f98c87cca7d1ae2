"""Deliveries as the database has them: lease some, record what came of them, or give them back.

What each does is said in sql/functions/outside.sql. Who sends them is courier.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from notify.channels.protocol import Address, Message, Outcome
from notify.config import Settings
from notify.postgres.queries import many, one, run
from notify.retry import Policy, Verdict


class Leased(msgspec.Struct, frozen=True):
    """A delivery that is this worker's to send for a while; see the comment of notify.lease_deliveries()."""

    id: int
    token: UUID
    attempts: int
    tries: int
    age: float
    notification_id: int
    batch_id: int
    recipient: str
    address: Address
    address_hash: str
    locale: str | None
    time_zone: str | None
    type: str
    priority: Literal["low", "normal", "high", "urgent"]
    title: str
    message: str
    html: str | None
    data: dict[str, Any]
    reference: str | None
    scheduled_at: datetime
    required: bool
    retry: Policy

    def as_message(self, installation: str) -> Message:
        """What its channel is given."""
        return Message(
            stable_id=f"ntf-{installation}-{self.id}",
            attempt=self.attempts + 1,
            notification_id=self.notification_id,
            batch_id=self.batch_id,
            recipient=self.recipient,
            address=self.address,
            locale=self.locale,
            time_zone=self.time_zone,
            type=self.type,
            priority=self.priority,
            title=self.title,
            message=self.message,
            html=self.html,
            data=self.data,
            reference=self.reference,
            scheduled_at=self.scheduled_at,
            required=self.required,
        )


class Tried(msgspec.Struct, frozen=True):
    """A leased delivery, what came of its attempt, what is to be done, and how many seconds it took."""

    leased: Leased
    outcome: Outcome
    verdict: Verdict
    seconds: float
    called: bool = True
    """Whether the channel was asked; what was given up before says nothing of the channel, nor of the address."""


class Recorded(msgspec.Struct, frozen=True):
    """What recording did."""

    recorded: int
    """How many attempts, as their lease still held."""
    disabled: list[str]
    """Whose addresses were disabled."""
    locked: list[int]
    """Deliveries that could not be recorded now, as somebody holds their notification."""
    stopped: bool
    """Whether the channel is paused or rests."""


class NextDelivery(msgspec.Struct, frozen=True):
    """In how many seconds a channel may next have something to send; negative: it has now."""

    channel: str
    due_in: float


class Identity(msgspec.Struct, frozen=True):
    """What makes ids unique in the world, and what signs links to unsubscribe."""

    installation: str
    unsubscribe_key: str


async def lease_deliveries(
    connection: AsyncConnection[Any], *, channel: str, max_rows: int, seconds: float
) -> list[Leased]:
    """Lease up to `max_rows` due deliveries of a channel for so many seconds."""
    return await many(connection, "lease_deliveries", Leased, channel=channel, max_rows=max_rows, seconds=seconds)


async def record_attempts(
    connection: AsyncConnection[Any],
    settings: Settings,
    channel: str,
    tried: Sequence[Tried],
    *,
    disable_after_days: float | None,
    down: bool = False,
) -> Recorded:
    """Record attempts of one channel, and what follows of them. `down`: it is to rest at the next outage."""
    return await one(
        connection,
        "record_attempts",
        Recorded,
        channel=channel,
        ids=[one.leased.id for one in tried],
        tokens=[one.leased.token for one in tried],
        kinds=[one.verdict.kind for one in tried],
        codes=_unless_empty([one.outcome.code or None for one in tried]),
        details=_unless_empty([_detail(one) for one in tried]),
        seconds=[one.seconds for one in tried],
        delays=_unless_empty([one.verdict.delay if one.verdict.kind == "retry" else None for one in tried]),
        rests=_unless_empty([one.outcome.retry_after for one in tried]),
        disable=_unless_empty([one.outcome.disable for one in tried]),
        outages=_outages([one.outcome for one in tried]),
        hashes=[one.leased.address_hash if one.called else None for one in tried],
        most_days=disable_after_days,
        threshold=1 if down else settings.breaker_failures,
        breaker_seconds=settings.breaker_seconds,
    )


async def release_deliveries(connection: AsyncConnection[Any], leased: Sequence[Leased]) -> int:
    """Give back deliveries that were not tried; how many were still leased."""
    return await one(
        connection,
        "release_deliveries",
        int,
        ids=[one.id for one in leased],
        tokens=[one.token for one in leased],
    )


async def next_deliveries(connection: AsyncConnection[Any]) -> list[NextDelivery]:
    """When each channel next has something to send; those that have nothing, or are paused, are left out."""
    return await many(connection, "next_deliveries", NextDelivery)


async def plan_deliveries(connection: AsyncConnection[Any]) -> int:
    """Set the second alarm clock of deliveries for the coming minute; how many jobs it took."""
    return await one(connection, "plan_deliveries", int)


async def release_held(connection: AsyncConnection[Any], *, max_rows: int) -> int:
    """Let deliveries go that are held although their type is paused no more; how many."""
    return await one(connection, "release_held", int, max_rows=max_rows)


async def register_channels(connection: AsyncConnection[Any], channels: Sequence[tuple[str, str]]) -> None:
    """Make channels known, each by name and description, so that they can be scheduled for."""
    rows = [{"name": name, "description": description} for name, description in channels]
    await run(connection, "register_channels", channels=msgspec.json.encode(rows).decode())


async def get_identity(connection: AsyncConnection[Any]) -> Identity:
    """What this installation is called, and what signs its links."""
    return await one(connection, "get_identity", Identity)


def _unless_empty(values: list[Any]) -> list[Any] | None:
    """None where no value says anything: most attempts succeed, and arrays are the largest part of telling so."""
    return values if any(value is not None and value is not False for value in values) else None


def _outages(outcomes: list[Outcome]) -> list[bool | None] | None:
    """Which are outages; null: nobody answered, which is neither that nor an answer. None where all are answers."""
    if not any(outcome.outage or outcome.unreachable for outcome in outcomes):
        return None
    return [outcome.outage or (None if outcome.unreachable else False) for outcome in outcomes]


def _detail(tried: Tried) -> str | None:
    """The provider's answer and why it was the last try. Postgres stores no NUL."""
    parts = [part for part in (tried.outcome.detail, tried.verdict.why) if part]
    return "; ".join(parts).replace("\x00", "\ufffd").encode(errors="replace").decode() or None
