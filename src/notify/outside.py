"""All couriers of a process, and what wakes them: the ticker's look, deliver jobs, and the sweep.

The ticker's empty look says when the next delivery is due; a deliver job, planned by the sweep, says it a second time.
Neither carries truth: what is due stands in the rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from notify.channels.protocol import Channel, Message
from notify.config import Settings
from notify.courier import AWAY, Courier
from notify.delivery import Identity, get_identity, next_deliveries, register_channels
from notify.postgres.pool import Pool
from notify.supervise import backoff, describe, supervise

log = structlog.stdlib.get_logger("notify.outside")

MakeChannels = Callable[[Identity], Sequence[Channel]]
UnsubscribeUrl = Callable[[Message], str | None]

# Beyond that the next look of the ticker, or a sweep, says it again.
_FAR_SECONDS = 60.0
_LEAST_PAUSE = 0.05


class Outside:
    """The outside channels of one worker."""

    def __init__(self, settings: Settings, make: MakeChannels) -> None:
        self._settings = settings
        self._make = make
        self._couriers: dict[str, Courier] = {}
        self._soon = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the channels are known to the database."""
        self.failures = 0
        """Looks in a row that found no database."""
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0

    def wake(self) -> None:
        """Look now: deliveries were added, or may be due."""
        self._soon.set()

    def expect(self, seconds: float) -> None:
        """Look in so many seconds at the latest, as something is due then."""
        if seconds > _FAR_SECONDS:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, seconds)
        if self._timer is not None:
            if self._rings_at <= at:
                return
            self._timer.cancel()
        # Kept here, as what uvloop gives for an instant that is all but there cannot tell when it is.
        self._rings_at = at
        self._timer = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        # A loop may ring a little early. Whoever then finds that something is due in a moment needs another timer.
        self._timer = None
        self._soon.set()

    async def run(self, pool: Pool) -> None:
        """Serve the channels until cancelled. Raises what the database raises before they are known there."""
        async with pool.connection() as connection:
            identity = await get_identity(connection)
            channels = self._make(identity)
            await register_channels(connection, [(one.name, one.description) for one in channels])
        couriers = [Courier(self._settings, pool, one, identity.installation) for one in channels]
        self._couriers = {one.name: one for one in couriers}
        self.ready.set()
        async with asyncio.TaskGroup() as group:
            for one in couriers:
                one.emptied = self._soon.set
                group.create_task(supervise(f"courier {one.name}", one.run), name=f"courier {one.name}")
            # Supervised, too, as only that cancels again what has lost its cancellation: this group would wait for it.
            group.create_task(supervise("looks at deliveries", lambda: self._look(pool)), name="outside")

    async def _look(self, pool: Pool) -> None:
        """Whenever told so, ask what is due, and wake those whose it is. An outage of the database ends nothing here:
        couriers keep what they have to record meanwhile."""
        while True:
            await self._soon.wait()
            self._soon.clear()
            try:
                async with pool.connection() as connection:
                    found = await next_deliveries(connection)
            except AWAY as error:
                self.failures += 1
                log.warning("deliveries_not_looked_for", error=describe(error))
                await asyncio.sleep(backoff(self.failures, 0.1, 2.0))
                self._soon.set()
                continue
            self.failures = 0
            for one in found:
                courier = self._couriers.get(one.channel)
                if courier is None:
                    continue
                if one.due_in > 0:
                    self.expect(one.due_in)
                elif time.monotonic() - courier.emptied_at < _LEAST_PAUSE:
                    self.expect(_LEAST_PAUSE)  # due, and yet it found nothing: another holds it just now
                else:
                    courier.wake()
