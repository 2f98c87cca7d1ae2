"""The database goes away, or seems to be there: processes say so in time, come back by themselves, and obey SIGTERM."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from faults.conftest import Run, backends, is_ready
from helpers.programs import environment
from helpers.proxy import Proxy
from helpers.rows import Db, add_recipients, schedule_ids, soon, statuses
from helpers.server import serving
from helpers.wait import until, until_async
from notify.config import Settings
from notify.postgres import bounded, embedded
from notify.postgres.connection import connect, connect_sync
from notify.postgres.pool import open_pool

# Promised: what an outage may hold up after its end; and until an API says that it is not ready.
_RECOVERY_SECONDS = 60.0
_READINESS_SECONDS = 15.0


@pytest.mark.parametrize("fault", ["freeze", "half_open"])
async def test_a_silent_server_is_given_up(link: Proxy, linked: Settings, fault: str) -> None:
    connection = await connect(linked, name="test")
    getattr(link, fault)()
    connection.limit.seconds = 0.2
    with pytest.raises(psycopg.OperationalError, match="does not answer"):
        await connection.execute("select 1")
    assert connection.closed


def test_a_silent_server_is_given_up_without_a_loop_too(link: Proxy, linked: Settings) -> None:
    connection = connect_sync(linked, name="test")
    link.freeze()
    connection.limit.seconds = 0.2
    with pytest.raises(psycopg.OperationalError, match="does not answer"):
        connection.execute("select 1")
    assert connection.closed


async def test_an_answer_has_the_time_of_its_statement_and_notifications_have_all(
    link: Proxy, linked: Settings
) -> None:
    connection = await connect(linked, name="test")
    assert connection.limit.seconds == linked.statement_timeout + 5
    connection.limit.seconds = 0.05
    heard = asyncio.create_task(anext(connection.notifies()))
    done, _ = await asyncio.wait({heard}, timeout=0.3)
    assert not done
    heard.cancel()
    await asyncio.wait({heard})
    await connection.close()


async def test_a_pool_replaces_what_is_half_open(
    link: Proxy, linked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Settings(database_url=linked.database_url, connect_timeout=2)
    pool = await open_pool(impatient, name="test")
    try:
        link.half_open()
        monkeypatch.setattr(bounded, "_FRESH_SECONDS", 0.0)  # as a second later
        with pytest.raises(psycopg.OperationalError):  # the first to ask pays: its time is over with the check
            async with asyncio.timeout(10), pool.connection():
                pass
        async with asyncio.timeout(10), pool.connection() as connection:
            await connection.execute("select 1")
    finally:
        await pool.close(timeout=1)


@pytest.mark.parametrize("fault", ["freeze", "half_open", "cut"])
def test_an_api_says_whether_it_is_ready(link: Proxy, linked: Settings, fault: str) -> None:
    with serving(linked) as url:
        until(lambda: is_ready(url))
        if fault == "cut":
            link.refuse()
        getattr(link, fault)()
        until(lambda: not is_ready(url), _READINESS_SECONDS, "not ready")
        assert httpx.get(f"{url}/health/live").is_success
        link.heal()
        until(lambda: is_ready(url), _RECOVERY_SECONDS, "ready again")


@pytest.mark.parametrize("fault", ["freeze", "half_open", "cut"])
def test_a_worker_sends_again(run: Run, link: Proxy, linked_dsn: str, db: Db, fault: str) -> None:
    add_recipients(db, "ada")
    worker = run("worker", database_url=linked_dsn)
    until(lambda: statuses(db, schedule_ids(db, "ada")) == ["sent"], what="sending")
    if fault == "cut":
        link.refuse()
    getattr(link, fault)()
    ids = schedule_ids(db, "ada", "ada") + schedule_ids(db, "ada", scheduled_at=soon(db, "100 milliseconds"))
    if fault != "half_open":
        link.thaw()
        link.accept()
    until(lambda: set(statuses(db, ids)) == {"sent"}, _RECOVERY_SECONDS, "sent after the fault")
    assert worker.process.poll() is None
    link.heal()
    assert worker.end() == 0


@pytest.mark.parametrize("command", ["api", "worker", "up"])
@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_sigterm_is_obeyed_while_the_link_is_down(
    run: Run, link: Proxy, linked_dsn: str, db: Db, command: str, fault: str
) -> None:
    service = run(command, database_url=linked_dsn)
    service.complained("worker started") if command == "worker" else service.ready()
    until(lambda: backends(db, "notify-ticker" if command == "worker" else "notify-listener"))
    if fault == "cut":
        link.refuse()
    getattr(link, fault)()
    assert service.end(within=10) == 0
    assert "Traceback" not in service.err


@pytest.mark.parametrize("command", ["api", "worker"])
def test_sigterm_is_obeyed_while_a_start_hangs(run: Run, link: Proxy, linked_dsn: str, command: str) -> None:
    link.freeze()
    service = run(command, database_url=linked_dsn)
    until(lambda: link.open > 0, what="connecting")
    service.end(within=10)


# A start without a database gives up after a minute; not so long here.
_HASTY = (
    "import notify.cli.patience as p; p.patiently.__kwdefaults__['seconds'] = 0.5; import notify.cli as c; c.main()"
)


@pytest.mark.parametrize("command", ["api", "worker"])
def test_giving_up_is_an_error(link: Proxy, linked_dsn: str, command: str) -> None:
    link.refuse()
    given = [sys.executable, "-c", _HASTY, command]
    env = environment(database_url=linked_dsn, port="0")
    ended = subprocess.run(given, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "the database is not ready after" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_after_a_long_outage_all_comes_back_at_once(scratch: Path) -> None:
    """Long enough for pauses that double without bound to have grown far."""
    server = embedded.start(scratch, settings={"fsync": "off"})
    pool = await open_pool(Settings(database_url=server.dsn(), connect_timeout=2), name="test")
    server.stop()

    async def fails() -> bool:
        with pytest.raises(psycopg.OperationalError):
            async with pool.connection(timeout=1):
                pass
        return time.monotonic() > ends

    ends = time.monotonic() + 20
    await until_async(fails, timeout=40)
    server = embedded.start(scratch)
    returned = time.monotonic()

    async def works() -> bool:
        try:
            async with pool.connection() as connection:
                await connection.execute("select 1")
        except psycopg.OperationalError:
            return False
        return True

    await until_async(works, timeout=_RECOVERY_SECONDS)
    took = time.monotonic() - returned
    await pool.close(timeout=1)
    server.stop()
    assert took < 10  # 16 s and more where the pauses double
