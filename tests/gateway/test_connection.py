"""One connection without a socket: its bounds, its signs of life, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from gateway.conftest import Sender, Served
from helpers.wait import until_async
from notify.config import Settings
from notify.gateway import closing, lookout, stream
from notify.gateway.connection import Connection
from notify.gateway.cursor import Cursor
from notify.gateway.frames import Content
from notify.gateway.lookout import Mailbox
from notify.gateway.position import Position
from notify.gateway.stream import Box


class _Rows:
    """A stream whose rows a test holds back."""

    async def page(self, recipient: str, after: int | None, limit: int) -> stream.Page:
        raise NotImplementedError


def _box(last_seq: int, generation: int = 1) -> Box:
    return Box(generation, f"1-1-{generation}", last_seq, 0, 0, 0)


@pytest.fixture
async def live() -> Connection:
    """A connection that has been sent 5, with room for 3 frames, and nobody who takes them."""

    async def send(message: Any) -> None:
        raise NotImplementedError

    small = Settings(send_queue_frames=3, ws_ping_seconds=10)
    rows: Any = _Rows()
    connection = Connection("ada", Cursor("now"), rows, small, send, lambda: None)
    assert connection.position.begin(Cursor("now"), _box(5), 10)
    connection.position.look()
    connection.position.settle(_box(5))
    return connection


async def test_the_queue_is_bounded_and_who_overflows_it_reads_rows(live: Connection) -> None:
    for seq in range(6, 11):
        live.offer(1, seq, lambda: "frame")
    assert len(live._outbox) == 3
    assert live.position.behind
    assert live.position.last == 8


async def test_a_tick_comes_in_its_time_after_all_that_it_tells_of(live: Connection) -> None:
    soon, later = (asyncio.get_running_loop().time() + seconds for seconds in (1, 11))
    live.tick_if_due(1, 5, 2, soon)
    live.tick_if_due(1, 6, 2, later)
    live.tick_if_due(2, 5, 2, later)
    assert not live._outbox
    live.offer(1, 6, lambda: "frame 6")
    live.tick_if_due(1, 6, 2, later)
    live.tick_if_due(1, 6, 2, later)
    assert [live._outbox.pop() for _ in range(2)] == ["frame 6", '{"type":"tick","last_seq":6,"unread":2}']
    assert not live._outbox


async def test_a_tick_does_not_overflow_the_queue(live: Connection) -> None:
    for seq in range(6, 9):
        live.offer(1, seq, lambda: "frame")
    live.tick_if_due(1, 8, 2, asyncio.get_running_loop().time() + 11)
    assert len(live._outbox) == 3


def test_a_ring_during_a_look_is_looked_after() -> None:
    position = Position()
    position.look()
    position.begin(Cursor("now"), _box(5), 10)
    position.fall_behind()
    position.settle(_box(5))
    assert position.behind
    position.look()
    position.settle(_box(5))
    assert not position.behind


def test_rows_that_know_less_than_before_have_lost_history() -> None:
    position = Position()
    position.look()
    position.begin(Cursor("now"), _box(5), 10)
    position.settle(_box(5))
    missed = [lookout._missed(position, before, Mailbox("ada", 1, 4, 0)) for before in (4, 5)]
    assert missed == [False, True]


async def test_it_ends_though_a_cancellation_is_lost(ada: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio.wait_for of Python 3.11 loses one that comes together with what the pool hands over."""
    await ada.hear("ada")
    await ada.idle()
    (connection,) = ada.gateway._hub
    page, inside, lost = ada.gateway.stream.page, asyncio.Event(), asyncio.Event()

    async def losing(*args: Any) -> Any:
        inside.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        return await page(*args)

    monkeypatch.setattr(ada.gateway.stream, "page", losing)
    connection.ring()
    await inside.wait()
    async with asyncio.timeout(10):
        await connection.stop()
    assert lost.is_set()
    assert connection._task is not None
    assert connection._task.done()


async def test_a_batch_that_vanishes_between_its_row_and_its_content(
    ada: Served, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.send("ada", times=2)
    contents = ada.gateway._contents
    get, asked = contents.get, 0

    async def vanished(wanted: set[int]) -> dict[int, Content]:
        nonlocal asked
        asked += 1
        found = await get(wanted)
        if asked == 1:  # retention has just deleted the first, and its batch
            found = {id: found[id] for id in sorted(found)[1:]}
            sender.db.execute("select notify.delete_old('0', 1)")
        return found

    monkeypatch.setattr(contents, "get", vanished)
    page = await ada.gateway.stream.page("ada", 0, 10)
    assert page is not None
    assert ([entry.seq for entry in page.entries()], page.box.floor_seq, asked) == ([2], 1, 2)


async def test_keys_that_cannot_be_checked_stop_nobody_elses_end(
    ada: Served, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = await ada.open("recipient=ada", key)
    await holder.expect("hello")
    expiring = await ada.open(credential=await ada.token("ada", ttl=2))
    await expiring.expect("hello")
    asked = asyncio.Event()

    async def hanging(credential: str, address: str) -> Any:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ada.gatekeeper, "admit", hanging)

    async def was_asked() -> bool:
        return asked.is_set()

    await until_async(was_asked)
    assert (await expiring.closed())[0] == 4401


class _Line:
    """A socket that takes frames at once, or not, or is gone."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.now: bool | Exception = True
        self.waited = asyncio.Event()

    async def push(self, texts: Sequence[str]) -> None:
        await self.waited.wait()
        self.taken += texts

    def push_now(self, texts: Sequence[str]) -> bool:
        if isinstance(self.now, Exception):
            raise self.now
        if self.now:
            self.taken += texts
        return self.now


class _Empty(_Rows):
    async def page(self, recipient: str, after: int | None, limit: int) -> stream.Page:
        return stream.Page(recipient, _box(5), [], {})


async def _until(holds: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return holds()

    await until_async(ask)


@pytest.fixture
async def line() -> _Line:
    return _Line()


@pytest.fixture
async def waiting(line: _Line) -> AsyncIterator[Connection]:
    """A connection that was sent 5, whose task waits for what comes."""

    async def send(message: Any) -> None:
        raise NotImplementedError

    rows: Any = _Empty()
    connection = Connection("ada", Cursor("now"), rows, Settings(), send, lambda: None, line)
    line.waited.set()
    connection.start()
    await _until(lambda: connection._outbox.is_awaited)
    line.waited.clear()
    line.taken.clear()
    yield connection
    await connection.stop()


async def test_what_is_offered_together_is_written_at_once_without_the_task(waiting: Connection, line: _Line) -> None:
    for seq in (6, 7):
        waiting.offer(1, seq, lambda seq=seq: f"frame {seq}")  # type: ignore[misc]
    assert not line.taken
    waiting.flush()
    assert line.taken == ["frame 6", "frame 7"]
    assert waiting._outbox.is_awaited
    assert waiting.sent == 3


@pytest.mark.parametrize("now", [False, RuntimeError("the handler is closed")])
async def test_what_cannot_be_written_at_once_is_left_to_the_task_in_order(
    waiting: Connection, line: _Line, now: bool | Exception
) -> None:
    line.now = now
    waiting.offer(1, 6, lambda: "frame 6")
    waiting.flush()
    line.now = True
    waiting.offer(1, 7, lambda: "frame 7")
    waiting.flush()  # the task has 6, so 7 must not overtake it
    assert not line.taken
    line.waited.set()
    await _until(lambda: len(line.taken) == 2)
    assert line.taken == ["frame 6", "frame 7"]


async def test_nothing_is_written_at_once_when_the_end_has_begun(waiting: Connection, line: _Line) -> None:
    waiting.offer(1, 6, lambda: "frame 6")
    waiting.close(closing.RESTART)
    waiting.flush()
    assert not line.taken
