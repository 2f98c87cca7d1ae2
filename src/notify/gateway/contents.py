"""The contents of batches, read at most once at a time and kept, encoded, while there is room."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import structlog
from psycopg import AsyncConnection

from notify.gateway.frames import Content, ContentRow, content
from notify.postgres.pool import Pool
from notify.postgres.queries import many
from notify.supervise import describe

log = structlog.stdlib.get_logger(__name__)

_MAX_BYTES = 32 * 2**20
_MAX_ENTRIES = 20_000
# A statement reads so many; at their largest they are some 20 MB.
_SLICE = 500


async def read_contents(connection: AsyncConnection[Any], ids: list[int]) -> list[ContentRow]:
    """The batches of these ids that there are."""
    return await many(connection, "read_contents", ContentRow, ids=ids)


class Contents:
    """An LRU by bytes and entries. Several who want the same batch wait for one statement."""

    def __init__(self, pool: Pool, *, max_bytes: int = _MAX_BYTES, max_entries: int = _MAX_ENTRIES) -> None:
        self._pool = pool
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._kept: OrderedDict[int, Content] = OrderedDict()
        self._bytes = 0
        self._loading: dict[int, asyncio.Task[dict[int, Content]]] = {}
        self.reads = 0

    async def get(self, ids: Collection[int]) -> dict[int, Content]:
        """The contents of those batches that there are. Raises what the database raises."""
        found = {id: kept for id in ids if (kept := self._recall(id)) is not None}
        missing = [id for id in ids if id not in found]
        if not missing:
            return found
        self._load([id for id in missing if id not in self._loading])
        for task in {self._loading[id] for id in missing}:
            # Shielded: who is cancelled must not take the load away from the others.
            loaded = await asyncio.shield(task)
            found |= {id: loaded[id] for id in missing if id in loaded}
        return found

    def _recall(self, id: int) -> Content | None:
        kept = self._kept.get(id)
        if kept is not None:
            self._kept.move_to_end(id)
        return kept

    def _load(self, ids: list[int]) -> None:
        for start in range(0, len(ids), _SLICE):
            some = ids[start : start + _SLICE]
            task = asyncio.create_task(self._read(some))
            task.add_done_callback(self._done)
            self._loading |= dict.fromkeys(some, task)

    async def _read(self, ids: list[int]) -> dict[int, Content]:
        async with self._pool.connection() as connection:
            rows = await read_contents(connection, ids)
        self.reads += 1
        loaded = {row.batch_id: content(row) for row in rows}
        for id, value in loaded.items():
            self._keep(id, value)
        return loaded

    def _done(self, task: asyncio.Task[dict[int, Content]]) -> None:
        self._loading = {id: other for id, other in self._loading.items() if other is not task}
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("reading contents failed", error=describe(error))

    def _keep(self, id: int, value: Content) -> None:
        self._kept[id] = value
        self._bytes += value.size
        while self._bytes > self._max_bytes or len(self._kept) > self._max_entries:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.size
