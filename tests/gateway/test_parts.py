"""The parts without a socket: positions, contents, messages."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from gateway.conftest import Sender
from notify.config import Settings
from notify.gateway.contents import Contents
from notify.gateway.cursor import Cursor
from notify.gateway.messages import Patience
from notify.gateway.outbox import Outbox
from notify.gateway.position import Position
from notify.gateway.protocol import framed
from notify.gateway.stream import Box
from notify.postgres.pool import open_pool


def _box(last_seq: int, generation: int = 1, floor_seq: int = 0) -> Box:
    return Box(generation, f"1-1-{generation}", last_seq, 0, 0, floor_seq)


@given(
    st.lists(
        st.one_of(
            st.just("commit"),
            st.just("snapshot"),
            st.just("finish"),
            st.integers(1, 30),  # a signal of that seq, in any order, any number of times
        ),
        max_size=80,
    )
)
def test_whatever_signals_come_each_is_sent_once_and_in_order(steps: list[str | int]) -> None:
    position, sent, committed = Position(), [], 0
    position.look()
    position.begin(Cursor("now"), _box(0), 10)
    position.settle(_box(0))
    snapshot: int | None = None

    def finish(top: int) -> None:
        while position.last < top:
            position.last += 1
            sent.append(position.last)
        position.settle(_box(top))

    for step in steps:
        if step == "commit":
            committed += 1
        elif step == "snapshot" and position.behind and snapshot is None:
            position.look()
            snapshot = committed
        elif step == "finish" and snapshot is not None:
            finish(snapshot)
            snapshot = None
        elif isinstance(step, int) and step <= committed and position.take(1, step):
            sent.append(step)
    if snapshot is not None:
        finish(snapshot)
    position.fall_behind()  # as the poll does for who has less than the rows
    while position.behind:
        position.look()
        finish(committed)
    assert sent == list(range(1, committed + 1))


def test_a_signal_during_a_look_asks_for_another() -> None:
    position = Position()

    def look(signalled: int | None) -> bool:
        position.look()
        if signalled is not None:
            assert not position.take(1, signalled)
        position.settle(_box(3))
        return position.behind

    position.begin(Cursor("now"), _box(3), 10)
    assert not look(None)
    assert not position.take(2, 1)
    assert look(5)
    assert not look(None)  # a snapshot younger than the signal does not know it: the signal lied


async def test_contents_are_read_once_and_bounded(dsn: str, sender: Sender) -> None:
    sender.register("ada")
    for _ in range(5):
        sender.schedule("ada")
    ids = [row[0] for row in sender.db.execute("select id from notify.batch order by id")]
    pool = await open_pool(Settings(database_url=dsn), name="test")
    try:
        contents = Contents(pool, max_entries=3)
        found = await asyncio.gather(*(contents.get(ids) for _ in range(10)))
        assert contents.reads == 1
        assert all(list(each) == ids for each in found)
        assert await contents.get([999]) == {}
        assert contents.reads == 2
        await contents.get(ids[2:])
        assert contents.reads == 2
        assert list(await contents.get(ids[:2])) == ids[:2]
        assert contents.reads == 3
        assert contents._bytes == sum(kept.size for kept in contents._kept.values())
    finally:
        await pool.close()


async def test_who_leaves_does_not_take_a_read_from_the_others(dsn: str, sender: Sender) -> None:
    sender.register("ada")
    sender.schedule("ada")
    (batch,) = sender.db.execute("select id from notify.batch").fetchone() or ()
    pool = await open_pool(Settings(database_url=dsn, pool_max=1), name="test")
    try:
        contents = Contents(pool)
        async with pool.connection():
            leaves = asyncio.create_task(contents.get([batch]))
            stays = asyncio.create_task(contents.get([batch]))
            await asyncio.wait([leaves], timeout=0)
            leaves.cancel()
        assert list(await stays) == [batch]
        assert contents.reads == 1
    finally:
        await pool.close()


async def test_a_failed_read_is_told_to_all_who_wait(dsn: str, sender: Sender) -> None:
    sender.db.execute("alter table notify.batch rename to mislaid")
    pool = await open_pool(Settings(database_url=dsn), name="test")
    try:
        contents = Contents(pool)
        outcomes = await asyncio.gather(contents.get([1]), contents.get([1]), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [psycopg.errors.UndefinedTable] * 2
        sender.db.execute("alter table notify.mislaid rename to batch")
        assert await contents.get([1]) == {}
    finally:
        await pool.close()


def test_patience_ends_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("notify.gateway.messages.time.monotonic", lambda: clock[0])
    patience = Patience()
    assert [patience.lose() for _ in range(21)] == [True] * 20 + [False]
    clock[0] += 5
    assert patience.lose()


def test_an_outbox_gives_what_fits_and_takes_it_back() -> None:
    outbox = Outbox(10, 100)
    for frame in ("aaa", "bbbbbb", "cc", "d"):
        outbox.put(frame)
    assert outbox.take(9) == ["aaa", "bbbbbb"]
    assert outbox.take(1) == ["cc"]
    outbox.put_back(["bbbbbb", "cc"])
    assert outbox.take(100) == ["bbbbbb", "cc", "d"]
    assert not outbox
    assert outbox.has_room


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_texts_are_framed_as_the_standard_says(size: int) -> None:
    texts = ["x" * size, "ä" * (size // 2), "last"]
    expected = [Frame(Opcode.TEXT, text.encode()).serialize(mask=False) for text in texts]
    assert b"".join(framed(texts)) == b"".join(expected)
