"""The client's own connection: lost and found again, shared, closed, forked, and used from several event loops."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from client.either import KINDS, Either, Kind
from helpers.rows import Db, column, schedule_ids, statuses, value
from helpers.wait import until
from notify import AsyncNotificationScheduler, NotificationScheduler, Unavailable
from notify.config import Settings
from notify.errors import Busy, ConfigError
from notify.postgres.connection import connect_sync

SESSIONS = "select pid from pg_stat_activity where application_name = 'notify-client' and datname = current_database()"

both = pytest.mark.parametrize("kind", KINDS)


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def _sessions(db: Db) -> list[int]:
    """The backends of the clients. Those that were just closed end after a while."""
    return column(db, SESSIONS)


def _terminate(db: Db, pid: int) -> None:
    assert value(db, "select pg_terminate_backend(%s, 10000)", pid)


def _waiting(db: Db, *, other_than: int = 0) -> int:
    """The client's session that waits for a lock, as soon as there is one."""
    waiting = f"{SESSIONS} and wait_event_type = 'Lock' and pid <> %s"
    (pid,) = until(lambda: [row[0] for row in db.execute(waiting.encode(), (other_than,))], what="waiting for a lock")
    return int(pid)


@contextmanager
def _running(call: Callable[[Either], Awaitable[Any]], kind: Kind, dsn: str) -> Iterator[Future[Any]]:
    """The call under way in a thread with an event loop of its own, with a client that is closed after it."""

    async def run() -> Any:
        client = Either(kind, dsn)
        try:
            return await call(client)
        finally:
            await client.close()

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(lambda: asyncio.run(run()))


@contextmanager
def _locked(dsn: str, table: str) -> Iterator[Db]:
    """A session that holds a table; its rollback lets go of it."""
    with connect_sync(dsn, name="holder", autocommit=False) as holder:
        holder.execute(f"lock table {table} in access exclusive mode".encode())
        yield holder
        holder.rollback()


async def test_a_session_that_ended_while_idle_is_replaced_unseen(client: Either, shared: Db) -> None:
    (id,) = await client.schedule_notification(["ada"], "T", "M", _later())
    (pid,) = _sessions(shared)
    for _ in range(3):
        _terminate(shared, pid)
        assert await client.reschedule(id, _later())
        (other,) = _sessions(shared)
        assert other != pid
        pid = other


@both
def test_a_write_that_was_cut_off_is_not_repeated(kind: Kind, shared_dsn: str, shared: Db) -> None:
    async def write(client: Either) -> Any:
        with pytest.raises(Unavailable):
            await client.schedule_notification(["ada"], "Cut off", "M", _later())
        return await client.schedule_notification(["ada"], "After it", "M", _later())

    with _locked(shared_dsn, "notify.batch") as holder, _running(write, kind, shared_dsn) as made:
        first = _waiting(shared)
        _terminate(shared, first)
        _waiting(shared, other_than=first)
        holder.rollback()
    assert len(made.result()) == 1
    assert column(shared, "select title from notify.batch where title in ('Cut off', 'After it')") == ["After it"]
    shared.execute("delete from notify.notification; delete from notify.batch")


@both
def test_a_write_with_an_idempotency_key_is_repeated(kind: Kind, shared_dsn: str, shared: Db) -> None:
    async def write(client: Either) -> Any:
        return await client.schedule_notification(["ada"], "T", "M", _later(), idempotency_key=f"cut off {kind}")

    before = set(column(shared, "select id from notify.notification"))
    with _locked(shared_dsn, "notify.batch") as holder, _running(write, kind, shared_dsn) as made:
        first = _waiting(shared)
        _terminate(shared, first)
        _waiting(shared, other_than=first)
        holder.rollback()
    assert set(column(shared, "select id from notify.notification")) - before == set(made.result())


@both
@pytest.mark.parametrize("cuts", [1, 2])
def test_a_read_is_repeated_once(kind: Kind, cuts: int, shared_dsn: str, shared: Db) -> None:
    (id,) = schedule_ids(shared, "ada")

    async def read(client: Either) -> Any:
        return await client.get_schedule_status(id)

    with _locked(shared_dsn, "notify.notification") as holder, _running(read, kind, shared_dsn) as status:
        last = 0
        for _ in range(cuts):
            last = _waiting(shared, other_than=last)
            _terminate(shared, last)
        if cuts == 1:
            _waiting(shared, other_than=last)
        else:
            assert isinstance(status.exception(10), Unavailable)
        holder.rollback()
    assert cuts == 2 or status.result().id == id


@both
async def test_a_server_that_is_not_there(kind: Kind) -> None:
    client = Either(kind, "host=127.0.0.1 port=1 dbname=app")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await client.get_schedule_status(1)
    await client.close()


@both
async def test_without_a_database_it_says_which_setting_is_missing(
    kind: Kind, shared_dsn: str, shared: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_DATABASE_URL", raising=False)
    client = Either(kind)
    with pytest.raises(ConfigError, match="NOTIFY_DATABASE_URL is not set"):
        await client.schedule_notification(["ada"], "T", "M", _later())
    monkeypatch.setenv("NOTIFY_DATABASE_URL", shared_dsn)
    client = Either(kind)
    assert await client.schedule_notification(["ada"], "T", "M", _later())
    await client.close()


@both
async def test_settings_hold_with_a_dsn_too(kind: Kind, shared_dsn: str, shared: Db) -> None:
    (id,) = schedule_ids(shared, "ada", scheduled_at=_later())
    client = Either(kind, shared_dsn, settings=Settings(lock_timeout=0.001, unknown_recipients="create"))
    assert await client.schedule_notification([f"new to {kind}"], "T", "M", _later())
    with shared.transaction():
        shared.execute("select from notify.notification where id = %s for update", (id,))
        with pytest.raises(Busy):
            await client.cancel_scheduled(id)
    assert await client.cancel_scheduled(id)
    await client.close()


def test_many_threads_share_one_session(shared_dsn: str, shared: Db) -> None:
    with NotificationScheduler(shared_dsn) as client, ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: client.schedule_notification(["ada"], f"{n}", "M", _later())[0], range(80)))
        sessions = _sessions(shared)
        found = list(pool.map(lambda id: client.get_schedule_status(id).title, made))
    assert len(sessions) == 1
    assert found == [str(n) for n in range(80)]


async def test_many_tasks_share_one_session(shared_dsn: str, shared: Db) -> None:
    async with AsyncNotificationScheduler(shared_dsn) as client:
        calls = (client.schedule_notification(["ada"], f"{n}", "M", _later()) for n in range(80))
        made = [id for (id,) in await asyncio.gather(*calls)]
        assert len(_sessions(shared)) == 1
        found = await asyncio.gather(*map(client.get_schedule_status, made))
    assert [status.title for status in found] == [str(n) for n in range(80)]


async def test_closed_it_holds_no_session_and_may_be_used_again(client: Either, shared: Db) -> None:
    for _ in range(2):
        await client.schedule_notification(["ada"], "T", "M", _later())
        assert len(_sessions(shared)) == 1
        await client.close()
        until(lambda: not _sessions(shared), what="session ended")
    await client.close()


def test_the_context_manager_closes_it(shared_dsn: str, shared: Db) -> None:
    with NotificationScheduler(shared_dsn) as client:
        client.get_pending_notifications()
        assert len(_sessions(shared)) == 1
    until(lambda: not _sessions(shared), what="session ended")


async def test_the_async_context_manager_closes_it(shared_dsn: str, shared: Db) -> None:
    async with AsyncNotificationScheduler(shared_dsn) as client:
        await client.get_pending_notifications()
        assert len(_sessions(shared)) == 1
    until(lambda: not _sessions(shared), what="session ended")


async def test_a_cancelled_task_does_not_spoil_the_session(shared_dsn: str, shared: Db) -> None:
    (id,) = schedule_ids(shared, "ada", scheduled_at=_later())
    async with AsyncNotificationScheduler(shared_dsn) as client:
        with shared.transaction():
            shared.execute("select from notify.notification where id = %s for update", (id,))
            task = asyncio.create_task(client.cancel_scheduled(id))
            with connect_sync(shared_dsn, name="watcher") as watcher:
                await asyncio.to_thread(_waiting, watcher)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert statuses(shared, [id]) == ["pending"]
        assert await client.cancel_scheduled(id)


def test_event_loops_one_after_another(shared_dsn: str, shared: Db) -> None:
    client = AsyncNotificationScheduler(shared_dsn)

    async def use() -> int:
        await asyncio.gather(*(client.get_pending_notifications() for _ in range(3)))
        until(lambda: len(_sessions(shared)) == 1, what="the session of the loop before ended")
        return _sessions(shared)[0]

    pids = [asyncio.run(use()) for _ in range(3)]
    assert len(set(pids)) == 3
    asyncio.run(client.close())
    until(lambda: not _sessions(shared), what="sessions ended")


def test_event_loops_at_once(shared_dsn: str, shared: Db) -> None:
    client = AsyncNotificationScheduler(shared_dsn)
    together = threading.Barrier(3, timeout=10)

    async def use(n: int) -> list[int]:
        await client.get_pending_notifications()
        await asyncio.to_thread(together.wait)
        made = [(await client.schedule_notification(["ada"], f"{n}", "M", _later()))[0] for _ in range(20)]
        await client.close()
        return made

    with ThreadPoolExecutor(3) as pool:
        made = [id for ids in pool.map(lambda n: asyncio.run(use(n)), range(3)) for id in ids]
    assert len(set(made)) == 60
    until(lambda: not _sessions(shared), what="sessions ended")


# The child uses and closes the client that its parent used; then the parent's session must be alive and its own.
FORKED = """
import asyncio, os, sys
from notify import AsyncNotificationScheduler, NotificationScheduler

def pid(connection):
    return connection.info.backend_pid

def session():
    return client._link._connection

async def use(client):
    await client.get_pending_notifications()

dsn = sys.argv[1]
client, other = NotificationScheduler(dsn), AsyncNotificationScheduler(dsn)
client.get_pending_notifications()
asyncio.run(use(other))
before = pid(session())
child = os.fork()
if not child:
    client.get_pending_notifications()
    asyncio.run(use(other))
    same = pid(session()) == before
    client.close()
    asyncio.run(other.close())
    os._exit(7 if same else 0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
client.get_pending_notifications()
assert pid(session()) == before, "the parent's session was ended by its child"
asyncio.run(use(other))
client.close()
asyncio.run(other.close())
"""


def test_a_forked_child_leaves_its_parents_session_alone(shared_dsn: str, shared: Db) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, shared_dsn], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    until(lambda: not _sessions(shared), what="sessions ended")
