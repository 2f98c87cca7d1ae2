"""A recipient's stream as rows: what replay and filling of gaps read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection

from notify.errors import Busy
from notify.gateway import frames
from notify.gateway.contents import Contents
from notify.postgres.pool import Pool
from notify.postgres.queries import many

# Rows may vanish (retention, deletion) between their page and their contents: then the page is read again.
_TRIES = 3


class Box(msgspec.Struct, frozen=True):
    """Where a stream stands."""

    generation: int
    epoch: str
    last_seq: int
    unread: int
    acked_seq: int
    floor_seq: int


class Row(Box, frozen=True):
    """The mailbox with one notification of the stream, or with none when there is none after the cursor."""

    seq: int | None
    id: int | None
    batch_id: int | None
    scheduled_at: datetime | None
    sent_at: datetime | None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One place of a stream, and its notification as JSON."""

    seq: int
    notification: str


class Page(msgspec.Struct, frozen=True):
    """A mailbox and the rows after a cursor, of one snapshot, with the contents they need."""

    recipient: str
    box: Box
    rows: list[Row]
    contents: dict[int, frames.Content]

    def entries(self) -> Iterator[Entry]:
        """What the rows say, in order; each is put together only when asked for."""
        whose = frames.quoted(self.recipient)
        for row in self.rows:
            assert row.seq is not None
            assert row.id is not None
            assert row.batch_id is not None
            assert row.scheduled_at is not None
            assert row.sent_at is not None
            times = frames.time(row.scheduled_at), frames.time(row.sent_at)
            text = frames.notification(row.id, whose, self.contents[row.batch_id], *times)
            yield Entry(row.seq, text)


async def read_stream(connection: AsyncConnection[Any], recipient: str, after: int | None, limit: int) -> list[Row]:
    """Rows after `after` (None: after what was acknowledged); none at all when there is no such recipient."""
    return await many(connection, "read_stream", Row, recipient=recipient, after=after, limit=limit)


class Stream:
    """Reads pages of streams, a few at a time, so that a crowd that resumes leaves connections for others."""

    def __init__(self, pool: Pool, contents: Contents) -> None:
        self._pool = pool
        self._contents = contents
        self._places = asyncio.Semaphore(max(1, pool.max_size // 4))

    async def page(self, recipient: str, after: int | None, limit: int) -> Page | None:
        """The mailbox and up to `limit` entries after `after`; None when there is no such recipient.

        Raises psycopg.Error and NotifyError as the database does.
        """
        for _ in range(_TRIES):
            rows = await self._read(recipient, after, limit)
            if not rows:
                return None
            filled = [row for row in rows if row.seq is not None]
            wanted = {row.batch_id for row in filled if row.batch_id is not None}
            contents = await self._contents.get(wanted)
            if len(contents) == len(wanted):
                return Page(recipient, rows[0], filled, contents)
        raise Busy("the stream changes faster than it can be read")

    async def _read(self, recipient: str, after: int | None, limit: int) -> list[Row]:
        async with self._places, self._pool.connection() as connection:
            return await read_stream(connection, recipient, after, limit)
