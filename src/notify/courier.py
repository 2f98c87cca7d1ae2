"""One channel's courier: takes what is due, sends many at once, and records what came of each.

Nothing is waited for together: whoever is done takes the next, so one slow address holds up nobody for longer than
it has a place. What was recorded counts only while the lease holds (its token is compared); a worker that was paused
for longer has no say any more. A provider may have been called for what was never recorded: it sees the same id again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import PoolTimeout

from notify.channels.outcomes import sound
from notify.channels.protocol import Channel, Outcome, retry
from notify.config import Settings
from notify.delivery import Leased, Recorded, Tried, lease_deliveries, record_attempts, release_deliveries
from notify.errors import NotifyError
from notify.limit import Limit
from notify.postgres.pool import Pool
from notify.retry import Verdict, give_up, judge
from notify.supervise import backoff, describe, to_the_end
from notify.tally import Tally

log = structlog.stdlib.get_logger("notify.courier")

# So many are taken at most for each that can be under way, and no more than are sent in so many seconds: what becomes
# urgent meanwhile is behind them. The next are taken when half of them are left, so that nobody waits for the database.
_MOST_AHEAD = 16
_AHEAD_SECONDS = 2.0
_LEAST_SECONDS = 0.001
# Between tries to record what somebody holds.
_LOCKED_SECONDS = 0.25
# What is under way when the worker stops has so long to end; what then is not done is tried again by another.
_LAST_SECONDS = 3.0
_OUTAGE_CAP = 2.0
AWAY = (psycopg.Error, PoolTimeout, NotifyError)


class _Task(msgspec.Struct, eq=False):
    leased: Leased
    until: float
    """When its lease ends, by this process' monotonic clock."""


class Courier:
    """The one of a channel in a process."""

    def __init__(self, settings: Settings, pool: Pool, channel: Channel, installation: str) -> None:
        self._settings = settings
        self._pool = pool
        self._channel = channel
        self._installation = installation
        self._woken = asyncio.Event()
        self._progress = asyncio.Event()
        self._waiting: asyncio.Queue[_Task] = asyncio.Queue()
        self._under_way = 0
        self._tried: list[tuple[_Task, Tried]] = []
        self._late: list[Leased] = []
        self._pace = 0.0
        self._leasing: asyncio.Task[bool] | None = None
        self._stopping = False
        self._ahead = 1
        """How many for each place are taken at most: the first few are under way while the next are fetched."""
        self._limit = Limit(settings.send_seconds)
        self._outages = 0
        self._tally = Tally(settings.breaker_failures)
        self.emptied_at = 0.0
        self.emptied: Callable[[], None] = lambda: None
        """Called when nothing more is due that may be sent now."""

    @property
    def name(self) -> str:
        """Its channel's."""
        return self._channel.name

    def wake(self) -> None:
        """Look now: something is due."""
        self._woken.set()
        self._progress.set()

    async def run(self) -> None:
        """Send until cancelled, through outages of the database. Raises what the channel raises when it is opened."""
        self._woken.set()
        # The run before may have ended over that.
        self._tally.told()
        self._stopping = False
        async with self._channel, asyncio.TaskGroup() as group:
            senders = [group.create_task(self._send_all()) for _ in range(self._channel.concurrency)]
            try:
                while True:
                    await self._woken.wait()
                    self._woken.clear()
                    await self._empty()
                    self.emptied_at = time.monotonic()
                    self.emptied()
            finally:
                await to_the_end(self._stop(senders))

    async def _empty(self) -> None:
        """Lease, and record, until nothing is due and nothing under way."""
        more = True
        while more or self._tried or self._late or self._is_busy:
            self._progress.clear()
            if more and self._has_room:
                more = await self._lease()
            await self._settle()
            if self._woken.is_set():
                self._woken.clear()
                more = True
            elif not (self._tried or self._late or (more and self._has_room)) and self._is_busy:
                await self._progress.wait()

    @property
    def _is_busy(self) -> bool:
        return bool(self._under_way) or not self._waiting.empty()

    @property
    def _has_room(self) -> bool:
        return not self._tally.is_down and self._waiting.qsize() <= self._room() // 2

    async def _lease(self) -> bool:
        """Take some; whether there may be more. A worker that stops meanwhile gives them back."""
        self._leasing = asyncio.create_task(self._fetch(self._room() - self._waiting.qsize()))
        return await asyncio.shield(self._leasing)

    async def _fetch(self, count: int) -> bool:
        """Where the database is away, later."""
        taken_at = time.monotonic()
        try:
            async with self._pool.connection() as connection:
                leased = await lease_deliveries(
                    connection, channel=self.name, max_rows=count, seconds=self._settings.lease_seconds
                )
        except AWAY as error:
            self._outages += 1
            log.warning("deliveries_not_leased", channel=self.name, error=describe(error))
            asyncio.get_running_loop().call_later(backoff(self._outages, 0.1, _OUTAGE_CAP), self.wake)
            return False
        self._outages = 0
        if self._stopping:
            self._late += leased
            return False
        for one in leased:
            self._waiting.put_nowait(_Task(one, taken_at + self._settings.lease_seconds))
        self._ahead = min(_MOST_AHEAD, 2 * self._ahead) if len(leased) == count else 1
        return bool(leased)

    def _room(self) -> int:
        """How many to take at once, going by how long the last ones took."""
        fast = _AHEAD_SECONDS / max(self._pace, _LEAST_SECONDS) if self._pace else 1
        return int(self._channel.concurrency * min(self._ahead, max(1, fast)))

    async def _send_all(self) -> None:
        while not self._stopping:  # else whoever lost its cancellation in a channel's call would wait for more
            task = await self._waiting.get()
            self._under_way += 1
            try:
                await self._send(task)
            finally:
                self._under_way -= 1
                self._progress.set()

    async def _send(self, task: _Task) -> None:
        leased = task.leased
        started = time.monotonic()
        if self._tally.is_down or task.until - started < self._settings.send_seconds:
            self._late.append(leased)  # it would fail, or could end after the lease
            return
        if (over := give_up(leased.retry, tries=leased.tries, age=leased.age)) is not None:
            self._tried.append((task, Tried(leased, over, Verdict("failed"), 0.0, called=False)))
            return
        outcome = self._tally.count(await self._attempt(leased), leased.address_hash)
        seconds = time.monotonic() - started
        self._pace = seconds if not self._pace else 0.9 * self._pace + 0.1 * seconds
        verdict = judge(leased.retry, outcome, tries=leased.tries, age=leased.age + seconds)
        self._tried.append((task, Tried(leased, outcome, verdict, seconds)))

    async def _attempt(self, leased: Leased) -> Outcome:
        try:
            return sound(await self._limit.of(self._channel.send(leased.as_message(self._installation))))
        except TimeoutError:
            return retry("timeout", f"no answer within {self._settings.send_seconds:g} s", unreachable=True)
        except Exception as error:
            log.exception("channel_failed", channel=self.name, delivery_id=leased.id)
            return retry("error", describe(error))

    async def _settle(self) -> None:
        """Record what has been tried, and give back what was too late to try. Whoever is stopped here does it again."""
        if late := list(self._late):
            await self._release(late)
            del self._late[: len(late)]
        if tried := list(self._tried):
            was_down = self._tally.is_down
            try:
                await self._record(tried)
            except Exception:
                del self._tried[: len(tried)]  # what is wrong with them would be so the next time, too
                raise
            del self._tried[: len(tried)]
            if was_down:
                self._tally.told()

    async def _release(self, late: list[Leased]) -> None:
        try:
            async with self._pool.connection() as connection:
                await release_deliveries(connection, late)
        except AWAY as error:
            # Their lease ends by itself.
            log.warning("deliveries_not_released", channel=self.name, count=len(late), error=describe(error))

    async def _record(self, tried: list[tuple[_Task, Tried]]) -> None:
        """Record attempts, through an outage of the database too: to forget them would be to send them twice."""
        ends = max(task.until for task, _ in tried)
        failures = 0
        while True:
            try:
                async with self._pool.connection() as connection:
                    recorded = await self._record_on(connection, [one for _, one in tried])
                self._tell(tried, recorded)
                self._follow(tried, recorded)
                return
            except AWAY as error:
                failures += 1
                log.warning("attempts_not_recorded", channel=self.name, count=len(tried), error=describe(error))
                if time.monotonic() > ends:
                    return  # others have their leases by now, and will record an attempt of unknown end
            await asyncio.sleep(backoff(failures, 0.1, _OUTAGE_CAP))

    async def _record_on(self, connection: AsyncConnection[Any], tried: list[Tried]) -> Recorded:
        days, down = self._channel.disable_after_days, self._tally.is_down
        return await record_attempts(connection, self._settings, self.name, tried, disable_after_days=days, down=down)

    def _follow(self, tried: list[tuple[_Task, Tried]], recorded: Recorded) -> None:
        if recorded.stopped:
            self._put_back()  # paused, or at rest: what was taken ahead waits with the others
        now, locked = time.monotonic(), set(recorded.locked)
        again = [(task, one) for task, one in tried if one.leased.id in locked and now < task.until]
        if again:
            asyncio.get_running_loop().call_later(_LOCKED_SECONDS, self._record_again, again)

    def _record_again(self, tried: list[tuple[_Task, Tried]]) -> None:
        self._tried += tried
        self.wake()

    def _tell(self, tried: list[tuple[_Task, Tried]], recorded: Recorded) -> None:
        lost = len(tried) - recorded.recorded - len(recorded.locked)
        if lost:
            log.warning("leases_lost", channel=self.name, count=lost)
        if recorded.disabled:
            log.warning("addresses_disabled", channel=self.name, recipients=recorded.disabled[:10])
        failed = [one for _, one in tried if one.verdict.kind == "failed"]
        if failed:
            codes = sorted({one.outcome.code for one in failed})
            log.warning("deliveries_failed", channel=self.name, count=len(failed), codes=codes[:10])

    async def _stop(self, senders: list[asyncio.Task[None]]) -> None:
        """Give back what is not begun, let the rest end for a while, and record it."""
        ends = time.monotonic() + _LAST_SECONDS
        self._stopping = True
        self._put_back()
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                if self._leasing is not None:
                    await asyncio.wait({self._leasing})
                while self._under_way:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            log.info("deliveries_left", channel=self.name, count=self._under_way)
        for sender in senders:
            sender.cancel()
        try:
            async with asyncio.timeout(max(1.0, ends - time.monotonic())):
                await self._settle()
        except TimeoutError:
            log.warning("attempts_lost", channel=self.name)

    def _put_back(self) -> None:
        while not self._waiting.empty():
            self._late.append(self._waiting.get_nowait().leased)
