"""The embedded server: start, stop, restart on the same data, what killed ones leave behind, odd paths."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from helpers.wait import until
from notify.errors import EmbeddedError
from notify.postgres import embedded
from notify.postgres.embedded import Deadline, Embedded

Start = Callable[..., Embedded]
FAST = {"fsync": "off"}


@pytest.fixture
def start() -> Iterator[Start]:
    """`embedded.start` whose servers are stopped after the test."""
    started: list[Embedded] = []

    def start_one(data_dir: Path, **options: object) -> Embedded:
        started.append(embedded.start(data_dir, settings=FAST, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start_one
    for server in reversed(started):
        server.stop()


def _value(dsn: str, statement: str) -> object:
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        row = conn.execute(statement.encode()).fetchone()  # bytes: tests pass plain literals only
        return row[0] if row else None


def test_data_outlives_a_restart_which_is_fast(scratch: Path, start: Start) -> None:
    data_dir = scratch / "with space"
    began = time.monotonic()
    first = start(data_dir)
    with_a_cluster_to_make = time.monotonic() - began
    assert first.started
    with closing(psycopg.connect(first.dsn(), autocommit=True)) as conn:
        conn.execute("create table kept as select 7 as n")
    first.stop()
    assert embedded.running(data_dir) is None
    began = time.monotonic()
    again = start(data_dir)
    assert time.monotonic() - began < with_a_cluster_to_make
    assert _value(again.dsn(), "select n from kept") == 7


def test_running_server_is_found_not_started_again(scratch: Path, start: Start) -> None:
    assert embedded.running(scratch) is None
    first = start(scratch)
    second = embedded.start(scratch)
    assert (second.started, second.pid) == (False, first.pid)
    assert embedded.running(scratch) == first.dsn() == second.dsn()


def test_starts_at_once_are_one_server(scratch: Path, start: Start) -> None:
    found: list[Embedded] = []
    threads = [threading.Thread(target=lambda: found.append(start(scratch))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.pid for server in found}) == 1
    assert sorted(server.started for server in found) == [False, False, False, True]


def test_server_found_running_can_be_stopped(scratch: Path, start: Start) -> None:
    start(scratch)
    embedded.start(scratch).stop()
    assert embedded.running(scratch) is None


def test_starts_after_kill(scratch: Path, start: Start) -> None:
    first = start(scratch)
    with closing(psycopg.connect(first.dsn())) as session:
        os.kill(first.pid, signal.SIGKILL)
        second = start(scratch)
        assert second.pid != first.pid
        assert _value(second.dsn(), "select 1") == 1
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")


@pytest.mark.parametrize("folder", ["short", "long" * 30])
def test_started_again_it_is_where_it_was(scratch: Path, start: Start, folder: str) -> None:
    server = start(scratch / folder)
    before, dsn = server.pid, server.dsn()
    os.kill(before, signal.SIGKILL)
    until(lambda: not server.alive)
    server.start_again(Deadline(60))
    assert (server.alive, server.started, server.pid != before) == (True, True, True)
    assert _value(dsn, "show fsync") == "off"
    server.stop()
    assert not server.alive


def test_started_again_it_is_the_one_that_somebody_else_started(scratch: Path, start: Start) -> None:
    server = start(scratch)
    os.kill(server.pid, signal.SIGKILL)
    other = start(scratch)
    assert not server.alive
    server.start_again(Deadline(60))
    assert (server.alive, server.started, server.pid) == (True, False, other.pid)


def test_another_cluster_in_its_place_is_left_alone(scratch: Path, start: Start) -> None:
    server = start(scratch)
    server.stop()
    (scratch / "postgres").rename(scratch / "elsewhere")
    other = start(scratch)
    with pytest.raises(EmbeddedError, match="replaced by other data"):
        server.start_again(Deadline(60))
    server.stop()
    assert other.alive


def test_a_directory_of_somebody_else_that_held_the_socket_is_not_emptied(scratch: Path, start: Start) -> None:
    server = start(scratch)
    server.stop()
    server.socket_dir = scratch / "theirs"
    server.socket_dir.mkdir()
    (server.socket_dir / "file").touch()
    with pytest.raises(EmbeddedError, match="not where it was"):
        server.start_again(Deadline(60))
    assert (scratch / "theirs" / "file").exists()
    assert embedded.running(scratch) is None


def test_a_start_that_is_given_up_leaves_no_server(scratch: Path, start: Start) -> None:
    server = start(scratch)
    server.stop()
    deadline = Deadline(60)
    deadline.end()
    with pytest.raises(EmbeddedError, match="in time"):
        server.start_again(deadline)
    assert embedded.running(scratch) is None


@pytest.mark.parametrize("content", ["", "{pid}\n{pgdata}\n1700000000\n5432\n/tmp\n\n  1 1\nready\n"])
def test_pid_file_of_a_power_cut_or_of_another_program_does_not_matter(
    scratch: Path, start: Start, content: str
) -> None:
    pgdata = scratch / "postgres"
    start(scratch).stop()
    (pgdata / "postmaster.pid").write_text(content.format(pid=os.getpid(), pgdata=pgdata))
    assert embedded.running(scratch) is None
    assert _value(start(scratch).dsn(), "select 1") == 1


def test_half_made_cluster_is_made_again(scratch: Path, start: Start) -> None:
    (scratch / "postgres.new").mkdir()
    (scratch / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert _value(start(scratch).dsn(), "select 1") == 1


def test_socket_moves_where_the_path_is_too_long_and_leaves_nothing(scratch: Path, start: Start) -> None:
    server = start(scratch / ("long" * 30))
    assert _value(server.dsn(), "select 1") == 1
    assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not server.socket_dir.exists()


def test_no_tcp_unless_asked_for(scratch: Path, start: Start) -> None:
    server = start(scratch)
    assert _value(server.dsn(), "show listen_addresses") == ""
    assert server.socket_dir.stat().st_mode & 0o777 == 0o700


def test_tcp_when_asked_for(server: Embedded) -> None:
    dsn = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
    assert _value(dsn, "select 1") == 1


def test_interrupt_in_the_terminal_is_not_the_servers(server: Embedded) -> None:
    assert os.getpgid(server.pid) == server.pid
    assert os.getsid(server.pid) != os.getsid(0)


def test_failure_tells_what_the_log_says(scratch: Path) -> None:
    with pytest.raises(EmbeddedError, match="max_connections"):
        embedded.start(scratch, settings={**FAST, "max_connections": "many"})


def test_stop_ends_open_sessions(scratch: Path, start: Start) -> None:
    server = start(scratch)
    with closing(psycopg.connect(server.dsn())) as session:
        session.execute("select 1")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")
    until(lambda: embedded.running(scratch) is None)
