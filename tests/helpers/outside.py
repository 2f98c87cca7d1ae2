"""Deliveries in tests: a channel, recipients with addresses, leases and attempts by the doors, a scripted channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from helpers.rows import Db, Row, call, call_one, one, rows, schedule_ids
from notify.channels.protocol import Message, Outcome, Plain, sent

CHANNEL = "pigeon"


def add_channel(db: Db, name: str = CHANNEL) -> str:
    """Make it known, as a worker does that serves it."""
    db.execute("select notify.register_channels(%s)", (Jsonb([{"name": name, "description": "for tests"}]),))
    return name


def add_reachable(db: Db, *ids: str, channel: str = CHANNEL, **fields: Any) -> None:
    """Register recipients with an address on the channel, and what else is given."""
    for id in ids:
        given = {"id": id, "addresses": {channel: f"loft of {id}"}} | fields
        db.execute("select notify.upsert_recipients(%s, false)", (Jsonb([given]),))


def send(db: Db, *recipients: str, channels: Sequence[str] = (CHANNEL,), **arguments: Any) -> list[int]:
    """Schedule for now on these channels, and drain; the ids of the notifications."""
    ids = schedule_ids(db, *recipients, channels=list(channels), **arguments)
    call_one(db, "drain")
    return ids


def lease(db: Db, max: int = 100, channel: str = CHANNEL, seconds: float = 60) -> list[Row]:
    """What a worker is given to send."""
    return call(db, "lease_deliveries", p_channel=channel, p_max=max, p_seconds=seconds)


def record(
    db: Db,
    leased: Sequence[Row],
    kind: str = "sent",
    *,
    channel: str = CHANNEL,
    code: str | None = None,
    detail: str | None = None,
    delay: float = 300,
    rest: float | None = None,
    disable: bool = False,
    outage: bool | None = False,
    most_days: float | None = None,
    threshold: int = 10,
) -> Row:
    """The same outcome for all of these. `outage`: None where nobody answered."""
    many = len(leased)
    return call_one(
        db,
        "record_attempts",
        p_channel=channel,
        p_ids=[row["id"] for row in leased],
        p_tokens=[row["token"] for row in leased],
        p_kinds=[kind] * many,
        p_codes=[code] * many,
        p_details=[detail] * many,
        p_seconds=[0.5] * many,
        p_delays=[float(delay)] * many,
        p_rests=[rest] * many,
        p_disable=[disable] * many,
        p_outages=[outage] * many,
        p_hashes=[row["address_hash"] for row in leased],
        p_most_days=most_days,
        p_threshold=threshold,
        p_breaker_seconds=5.0,
    )


def fail(db: Db, *codes: str, recipient: str = "ada") -> list[int]:
    """A delivery given up for each of these codes; their notifications. That the address failed is forgotten."""
    ids = []
    for code in codes:
        ids += send(db, recipient)
        record(db, lease(db), "failed", code=code)
        db.execute("delete from notify.endpoint")
    return ids


def delivery(db: Db, notification_id: int, channel: str = CHANNEL) -> Row:
    """Where it stands."""
    return one(
        db, "select * from notify.delivery where notification_id = %s and channel = %s", notification_id, channel
    )


def attempts(db: Db, notification_id: int) -> list[tuple[int, str, str | None]]:
    """Number, outcome and code of all attempts."""
    found = rows(
        db,
        "select a.number, a.outcome, a.code from notify.attempt a join notify.delivery d on d.id = a.delivery_id"
        " where d.notification_id = %s order by d.channel, a.number",
        notification_id,
    )
    return [(row["number"], row["outcome"], row["code"]) for row in found]


class Pigeons(Plain):
    """A channel that keeps what it was given, and answers as it is told."""

    def __init__(self, name: str = CHANNEL, concurrency: int = 4) -> None:
        self.name = name
        self.description = "for tests"
        self.concurrency = concurrency
        self.flown: list[Message] = []
        self.answer: Callable[[Message], Outcome] = lambda _: sent("coo")
        self.gate: asyncio.Event | None = None
        """While it is there and not set, sends wait for it."""
        self.in_the_air = 0

    async def send(self, message: Message) -> Outcome:
        self.in_the_air += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            self.flown.append(message)
            return self.answer(message)
        finally:
            self.in_the_air -= 1
