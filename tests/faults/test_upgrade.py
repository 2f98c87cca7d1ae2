"""Old and new may run together: a migration under traffic costs nobody an error, and nothing is lost or sent twice."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from faults.conftest import Run
from helpers.http import ADMIN_KEY
from helpers.rows import Db, add_recipients, column, rows, schedule_ids, statuses, value
from helpers.wait import until
from notify.postgres.connection import connect_sync
from notify.postgres.migrate import check, migrate, plan
from notify.postgres.queries import sql_dir

_KEY = {"Authorization": f"Bearer {ADMIN_KEY}"}
# What the version before did not have. Functions are this version's, but for their bodies, so their tables are there.
_NEWEST = frozenset({"0005_validate.sql"})

_WAITS = (
    "select pid from pg_stat_activity where datname = current_database() and application_name = 'notify-migrate'"
    " and wait_event_type = 'Lock'"
)
_STATEMENT = re.compile(r"^-- (?P<name>\w+): (?P<columns>[\w, ]*)\n(?P<text>[^;]*);$", re.MULTILINE)


@pytest.fixture
def old_sql(tmp_path: Path) -> Path:
    """The sql folder as an older version would have it: fewer migrations, other bodies, no grants."""
    folder = tmp_path / "sql"
    shutil.copytree(sql_dir(), folder)
    for file in (folder / "migrations").iterdir():
        if file.name in _NEWEST:
            file.unlink()
    shutil.rmtree(folder / "grants")
    for file in (folder / "functions").iterdir():
        file.write_text(file.read_text() + "\n-- Another body, so that all of them are replaced.\n")
    return folder


class Traffic:
    """Schedules as fast as the answers come, until it is told to end; what it was told stands in `ids`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._end = threading.Event()
        self.ids: list[int] = []

    def run(self) -> None:
        """Raises where anything but 201 is answered."""
        with httpx.Client(base_url=self._url, headers=_KEY, timeout=20) as api:
            while not self._end.is_set():
                body = {"recipients": ["ada", "bob"], "title": "T", "message": "M"}
                answer = api.post("/api/notifications/schedule/", json=body)
                assert answer.status_code == 201, answer.text
                self.ids += answer.json()["notification_ids"]

    def stop(self) -> None:
        self._end.set()


Start = Callable[[str], tuple[Traffic, Future[None]]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts traffic, ended after the test."""
    started: list[Traffic] = []
    with ThreadPoolExecutor(2) as pool:

        def begin(url: str) -> tuple[Traffic, Future[None]]:
            started.append(Traffic(url))
            return started[-1], pool.submit(started[-1].run)

        yield begin
        for traffic in started:
            traffic.stop()


def test_a_migration_under_traffic(bare_dsn: str, bare_database: Db, run: Run, old_sql: Path, start: Start) -> None:
    migrate(bare_dsn, sql_folder=old_sql)
    db = bare_database
    db.autocommit = True
    add_recipients(db, "ada", "bob")
    # Processes of this version wait for their schema, so those that run before it get an old one's view of it.
    env = {"database_url": bare_dsn}
    assert plan(bare_dsn)
    waiting = run("worker", **env)
    waiting.complained("waiting for the database")
    migrate(bare_dsn)
    waiting.complained("worker started")
    assert check(bare_dsn)

    url = run("api", **env).ready()
    traffic, ends = start(url)
    until(lambda: len(traffic.ids) > 20)
    for _ in range(5):
        # Everything is replaced by what is old, then by what is new, under the sessions' feet.
        db.execute("delete from notify.migration where name in ('functions', 'views', 'grants', 'jobs')")
        migrate(bare_dsn)
        before = len(traffic.ids)
        until(lambda before=before: ends.done() or len(traffic.ids) > before + 4)  # type: ignore[misc]
    traffic.stop()
    ends.result(20)
    until(lambda: set(statuses(db, traffic.ids)) == {"sent"}, 20, "all sent")
    for recipient in ("ada", "bob"):
        seqs = column(db, "select seq from notify.notification where recipient = %s order by seq", recipient)
        assert seqs == list(range(1, len(seqs) + 1))
    assert value(db, "select count(*) from notify.notification") == len(traffic.ids)
    assert rows(db, "select * from notify.dead_letters") == []


def test_an_open_transaction_of_an_old_session_goes_on(bare_dsn: str, bare_database: Db, old_sql: Path) -> None:
    """It has run old functions already, holds locks on what they wrote, and runs the new ones next."""
    migrate(bare_dsn, sql_folder=old_sql)
    db = bare_database
    db.autocommit = True
    add_recipients(db, "ada")
    before = schedule_ids(db, "ada")
    db.execute("begin")
    inside = schedule_ids(db, "ada")
    # Inside a transaction pg_stat_activity stands still, so somebody else looks.
    with ThreadPoolExecutor(1) as pool, connect_sync(bare_dsn, name="observer") as observer:
        upgrading = pool.submit(migrate, bare_dsn)
        until(lambda: column(observer, _WAITS), 30, "the migration waits for the transaction")
        inside += schedule_ids(db, "ada")
        db.execute("commit")
        upgrading.result(60)
    assert check(bare_dsn)
    assert value(db, "select sent from notify.drain()") == 3
    assert statuses(db, before + inside) == ["sent"] * 3


def test_what_the_version_before_runs_is_answered(db: Db) -> None:
    """Each of its statements, with the columns that it reads: what nobody uses any more goes a version later."""
    before = (Path(__file__).parent / "statements_before.sql").read_text()
    found = list(_STATEMENT.finditer(before))
    assert len(found) == before.count("\n-- ") > 50
    for statement in found:
        name = statement["name"].encode()
        prepared = db.pgconn.prepare(name, statement["text"].encode())
        assert not prepared.error_message, f"{statement['name']}: {prepared.error_message.decode()}"
        described = db.pgconn.describe_prepared(name)
        columns = {(described.fname(i) or b"").decode() for i in range(described.nfields)}
        assert columns >= {column for column in statement["columns"].split(", ") if column}, statement["name"]
