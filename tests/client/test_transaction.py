"""`connection=` joins the caller's transaction, whoever's it is: rolled back with it, committed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from client.callers import CALLERS, Caller, Undone
from client.either import Either, Kind
from helpers.rows import Db, column, rows, schedule_ids, statuses, stored, value
from helpers.wait import blocked
from notify import InvalidValue, NotFound, NotificationScheduler, PastTime, Unavailable
from notify.errors import Busy

each_caller = pytest.mark.parametrize(("kind", "caller"), CALLERS, ids=[caller.__name__ for _, caller in CALLERS])


# Those of plpgsql are there from its first use on.
SETTINGS = "select name, setting from pg_settings where name not like 'plpgsql%' order by name"


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def _stored(db: Db) -> Any:
    """Everything that calls can leave behind."""
    recipients = value(db, "select count(*) from notify.recipient")
    return (*stored(db), recipients, rows(db, "select id, status, due_at from notify.notification order by id"))


async def _all_calls(client: Either, connection: Any, ids: list[int]) -> list[int]:
    """Each call that writes, on what is there (three pending) and on what it makes; the new ids."""
    await client.upsert_recipient("cleo", time_zone="Europe/Berlin", connection=connection)
    made: list[int] = await client.schedule_notification(
        ["ada", "cleo"], "Coffee", "Ready", _later(), data={"cups": 2}, idempotency_key="k", connection=connection
    )
    assert await client.cancel_scheduled(ids[0], connection=connection)
    assert await client.reschedule(ids[1], _later() + timedelta(days=1), connection=connection)
    assert await client.cancel_reference("r", connection=connection) == 1
    assert await client.send_scheduled_notification(made[0], connection=connection)
    return made


@pytest.fixture
def ids(shared: Db) -> Iterator[list[int]]:
    """Three pending notifications, the last with the reference `r`."""
    made = schedule_ids(shared, "ada", "bob", scheduled_at=_later())
    yield made + schedule_ids(shared, "ada", scheduled_at=_later(), reference="r")
    shared.execute("delete from notify.notification; delete from notify.batch; delete from notify.idempotency")
    shared.execute("select notify.delete_recipient('cleo')")


@pytest.fixture
async def joining(kind: Kind) -> AsyncIterator[Either]:
    """A client that knows no database of its own."""
    either = Either(kind)
    yield either
    await either.close()


@each_caller
async def test_a_rollback_leaves_nothing(
    joining: Either, caller: Caller, shared_dsn: str, shared: Db, ids: list[int]
) -> None:
    before = _stored(shared)
    with suppress(Undone):
        async with caller(shared_dsn) as connection:
            made = await _all_calls(joining, connection, ids)
            assert (await joining.get_schedule_status(made[1], connection=connection)).scheduled_status == "pending"
            assert _stored(shared) == before
            raise Undone
    assert _stored(shared) == before


@each_caller
async def test_a_commit_leaves_everything(
    joining: Either, caller: Caller, shared_dsn: str, shared: Db, ids: list[int]
) -> None:
    before = _stored(shared)
    async with caller(shared_dsn) as connection:
        made = await _all_calls(joining, connection, ids)
        assert _stored(shared) == before
    assert statuses(shared, ids) == ["cancelled", "pending", "cancelled"]
    assert statuses(shared, made) == ["pending", "pending"]
    assert value(shared, "select time_zone from notify.recipient where id = 'cleo'") == "Europe/Berlin"


@each_caller
async def test_rows_come_back_as_over_a_connection_of_ours(
    joining: Either, caller: Caller, shared_dsn: str, ids: list[int]
) -> None:
    own = Either(joining.kind, shared_dsn)
    async with caller(shared_dsn) as connection:
        status = await joining.get_schedule_status(ids[0], connection=connection)
        page = await joining.get_pending_notifications(limit=2, connection=connection)
        rest = await joining.get_pending_notifications(cursor=page.next_cursor, connection=connection)
    assert [row.id for row in page + rest] == ids
    assert page + rest == await own.get_pending_notifications()
    assert status == await own.get_schedule_status(ids[0])
    for time in (status.scheduled_at, status.created_at, page[0].scheduled_at):
        assert time.utcoffset() == timedelta()
    assert page[0].data == {}
    await own.close()


@each_caller
async def test_a_refused_call_is_undone_alone(
    joining: Either, caller: Caller, shared_dsn: str, shared: Db, ids: list[int]
) -> None:
    async with caller(shared_dsn) as connection:
        (first,) = await joining.schedule_notification(["ada"], "T", "M", _later(), connection=connection)
        with pytest.raises(PastTime):
            await joining.schedule_notification(["ada"], "T", "M", _later() - timedelta(days=1), connection=connection)
        with pytest.raises(InvalidValue):
            await joining.schedule_notification([""], "T", "M", _later(), connection=connection)
        with pytest.raises(NotFound):
            await joining.cancel_scheduled(2**62, connection=connection)
        assert await joining.cancel_scheduled(ids[0], connection=connection)
    assert statuses(shared, [first, ids[0]]) == ["pending", "cancelled"]


@each_caller
async def test_sent_at_commit_and_not_before(
    joining: Either, caller: Caller, shared_dsn: str, shared: Db, ids: list[int]
) -> None:
    async with caller(shared_dsn) as connection:
        assert await joining.send_scheduled_notification(ids[0], connection=connection) is True
        inside = await joining.get_schedule_status(ids[0], connection=connection)
        assert (inside.scheduled_status, inside.sent_at) == ("pending", None)
        shared.execute("select notify.drain()")
        assert statuses(shared, ids) == ["pending"] * 3
    shared.execute("select notify.drain()")
    assert statuses(shared, ids) == ["sent", "pending", "pending"]


@pytest.fixture
def orders(shared: Db) -> Iterator[None]:
    """An application's own table."""
    shared.execute("create table orders (item text)")
    yield
    shared.execute("drop table orders")


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("kept", [True, False])
def test_two_doors_and_a_table_in_one_transaction(shared_dsn: str, shared: Db, ids: list[int], kept: bool) -> None:
    before = stored(shared)
    with suppress(Undone), psycopg.connect(shared_dsn) as connection:
        scheduler = NotificationScheduler(connection=connection)
        connection.execute("insert into orders values ('coffee')")
        made = scheduler.schedule_notification(["ada"], "Order", "Was it good?", _later())
        (other,) = column(
            connection, "select notification_id from notify.schedule('{bob}', 'Order', 'Good?', now() + interval '1 h')"
        )
        assert scheduler.cancel_scheduled(other)
        assert value(connection, "select cancelled from notify.cancel(%s)", *made)
        if not kept:
            raise Undone
    assert column(shared, "select item from orders") == (["coffee"] if kept else [])
    assert statuses(shared, [*made, other]) == (["cancelled"] * 2 if kept else ["gone"] * 2)
    assert stored(shared) == (before[0] + 2, before[1] + 2, 0) if kept else before


def test_the_callers_savepoint_takes_back_what_came_after_it(shared_dsn: str, shared: Db, ids: list[int]) -> None:
    with psycopg.connect(shared_dsn) as connection:
        scheduler = NotificationScheduler(connection=connection)
        (kept,) = scheduler.schedule_notification(["ada"], "T", "M", _later())
        with suppress(Undone), connection.transaction():
            (undone,) = scheduler.schedule_notification(["ada"], "T", "M", _later())
            scheduler.cancel_scheduled(kept)
            with pytest.raises(PastTime):
                scheduler.reschedule(kept, _later() - timedelta(days=1))
            raise Undone
        with connection.transaction():
            (also,) = scheduler.schedule_notification(["bob"], "T", "M", _later())
    assert statuses(shared, [kept, undone, also]) == ["pending", "gone", "pending"]


def test_a_connection_of_one_call_goes_before_the_clients(shared_dsn: str, shared: Db, ids: list[int]) -> None:
    with psycopg.connect(shared_dsn) as one, psycopg.connect(shared_dsn) as other:
        scheduler = NotificationScheduler(connection=one)
        scheduler.cancel_scheduled(ids[0])
        scheduler.cancel_scheduled(ids[1], connection=other)
        one.rollback()
    assert statuses(shared, ids[:2]) == ["pending", "cancelled"]


@pytest.mark.parametrize("options", ["", "-c search_path=app", "-c search_path=app,notify -c timezone=Asia/Kolkata"])
def test_the_callers_session_is_left_as_it_was(shared_dsn: str, shared: Db, ids: list[int], options: str) -> None:
    with psycopg.connect(shared_dsn, row_factory=dict_row, options=options) as connection:
        cursor_factory = connection.cursor_factory = psycopg.ClientCursor
        before = connection.execute(SETTINGS).fetchall()
        scheduler = NotificationScheduler(connection=connection)
        made = scheduler.schedule_notification(["ada"], "T", "M", _later(), data={"a": [1]})
        status = scheduler.get_schedule_status(made[0])
        assert (status.scheduled_status, status.scheduled_at.utcoffset()) == ("pending", timedelta())
        assert {row.id: row.data for row in scheduler.get_pending_notifications()}[made[0]] == {"a": [1]}
        assert (connection.autocommit, connection.row_factory, connection.cursor_factory) == (
            False,
            dict_row,
            cursor_factory,
        )
        connection.commit()
        assert connection.execute(SETTINGS).fetchall() == before
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert statuses(shared, made) == ["pending"]


def test_the_callers_own_adapters_are_not_used(shared_dsn: str, ids: list[int]) -> None:
    class Loud(psycopg.adapt.Loader):
        def load(self, data: Any) -> Any:
            raise AssertionError("the caller's loader")

    class LoudDumper(psycopg.adapt.Dumper):
        def dump(self, obj: Any) -> Any:
            raise AssertionError("the caller's dumper")

    with psycopg.connect(shared_dsn) as connection:
        for name in ("timestamptz", "jsonb", "text", "int8", "bool"):
            connection.adapters.register_loader(name, Loud)
        for kind in (str, int, list, datetime):
            connection.adapters.register_dumper(kind, LoudDumper)
        scheduler = NotificationScheduler(connection=connection)
        made = scheduler.schedule_notification(["ada"], "T", "M", _later())
        assert scheduler.get_schedule_status(made[0]).title == "T"
        with pytest.raises(AssertionError, match="the caller's loader"):
            connection.execute("select 'x'::text").fetchall()


async def test_a_cancelled_task_leaves_the_callers_transaction_usable(
    shared_dsn: str, shared: Db, ids: list[int]
) -> None:
    client = Either("async")
    async with await psycopg.AsyncConnection.connect(shared_dsn) as connection:
        (made,) = await client.schedule_notification(["ada"], "T", "M", _later(), connection=connection)
        with shared.transaction():
            shared.execute("select from notify.notification where id = %s for update", (ids[0],))
            task = asyncio.create_task(client.cancel_scheduled(ids[0], connection=connection))
            await asyncio.to_thread(blocked, shared, connection.info.backend_pid)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await client.cancel_scheduled(ids[1], connection=connection)
    assert statuses(shared, [made, ids[0], ids[1]]) == ["pending", "pending", "cancelled"]


def test_a_call_that_waited_too_long_is_undone_alone(shared_dsn: str, shared: Db, ids: list[int]) -> None:
    with psycopg.connect(shared_dsn) as connection, shared.transaction():
        shared.execute("select from notify.notification where id = %s for update", (ids[0],))
        connection.execute("set lock_timeout to 1")
        scheduler = NotificationScheduler(connection=connection)
        with pytest.raises(Busy):
            scheduler.cancel_scheduled(ids[0])
        assert scheduler.cancel_scheduled(ids[1])
    assert statuses(shared, ids[:2]) == ["pending", "cancelled"]


def test_a_callers_pipeline(shared_dsn: str, shared: Db, ids: list[int]) -> None:
    with psycopg.connect(shared_dsn) as connection:
        scheduler = NotificationScheduler(connection=connection)
        with connection.pipeline():
            connection.execute("select 1")
            assert scheduler.cancel_scheduled(ids[0])
            with pytest.raises(PastTime):
                scheduler.reschedule(ids[1], _later() - timedelta(days=1))
            assert scheduler.cancel_scheduled(ids[1])
    assert statuses(shared, ids[:2]) == ["cancelled", "cancelled"]


async def test_an_async_callers_pipeline(shared_dsn: str, shared: Db, ids: list[int]) -> None:
    async with await psycopg.AsyncConnection.connect(shared_dsn) as connection:
        client = Either("async", connection=connection)
        async with connection.pipeline():
            assert await client.cancel_scheduled(ids[0])
            with pytest.raises(PastTime):
                await client.reschedule(ids[1], _later() - timedelta(days=1))
            assert await client.cancel_scheduled(ids[1])
    assert statuses(shared, ids[:2]) == ["cancelled", "cancelled"]


def test_a_lost_connection_is_said_to_be(shared_dsn: str, shared: Db, ids: list[int]) -> None:
    connection = psycopg.connect(shared_dsn)
    scheduler = NotificationScheduler(connection=connection)
    assert scheduler.cancel_scheduled(ids[0])
    shared.execute("select pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
    for _ in range(2):
        with pytest.raises(Unavailable):
            scheduler.cancel_scheduled(ids[1])
    connection.close()
    assert statuses(shared, ids[:2]) == ["pending", "pending"]
