"""`notify up` as a user has it: real processes, a real Postgres, signals and kills."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from helpers.programs import Program, done, frozen, home
from helpers.wait import until
from notify.postgres import embedded, postmaster

FIRST_RUN = re.compile(
    r"notify ready at http://127\.0\.0\.1:\d+ {4,}data: \./\.notify \(Postgres 18\)\n"
    r"export NOTIFY_API_KEY=(?P<key>ntf_\S{49}) {3}shown once; more: notify keys create\n"
    r"psql: notify psql\n"
)


class Served(NamedTuple):
    """A `notify up` that serves."""

    folder: Path
    program: Program
    url: str
    key: str


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with home() as folder, Program(folder, "up", "--port", "0") as program:
        url = program.ready()
        program.printed("psql: ")
        found = FIRST_RUN.fullmatch(program.out)
        assert found, program.out
        yield Served(folder, program, url, found["key"])
        assert program.end() == 0


def test_key_of_the_first_run_is_an_admin_key(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.key}"}
    assert httpx.put(f"{served.url}/api/recipients/1", json={}, headers=headers).is_success
    assert httpx.get(f"{served.url}/api/notifications", headers={}).status_code == 401


def test_others_find_where_it_serves(served: Served) -> None:
    found = json.loads((served.folder / ".notify" / "notify.json").read_bytes())
    assert found == {"url": served.url, "pid": served.program.pid}


def test_doctor_is_content(served: Served) -> None:
    checked = done(served.folder, "doctor", "--json")
    states = {finding["check"]: finding["state"] for finding in json.loads(checked.stdout)}
    assert states == dict.fromkeys(("database", "schema", "worker", "api", "disk"), "ok")
    assert checked.returncode == 0


def test_psql_takes_its_arguments_as_they_are(served: Served) -> None:
    query = "select 'it''s', current_user, current_database()"
    assert done(served.folder, "psql", "-XAt", "-c", query).stdout == "it's|postgres|notify\n"
    assert done(served.folder, "psql", "--help").stdout.startswith("psql is")
    assert done(served.folder, "psql", "-c", "select 1/0").returncode == 1


def test_data_is_served_once(served: Served) -> None:
    second = done(served.folder, "up", "--port", "0")
    assert second.returncode == 1
    assert second.stderr == (
        f"notify: notify up already serves .notify at {served.url} (process {served.program.pid})\n"
    )


def test_second_worker_finds_the_database(served: Served) -> None:
    with Program(served.folder, "worker") as worker:
        worker.complained("worker started")
        assert worker.end() == 0


def test_listen_shows_what_comes_and_acknowledges_it(served: Served) -> None:
    with Program(served.folder, "listen", "eve") as eve:
        eve.printed("^connected: eve  last_seq 0  unread 0$")
        done(served.folder, "send", "eve", "Hi \x1b[31m", "two\nlines")
        line = eve.printed(r"^\d\d:\d\d:\d\d\.\d{3}  seq 1  #\d+  (.*)   \d+ ms after due$")
        assert line.group(1) == r"Hi \x1b[31m: two\nlines"
        query = "select acked_seq from notify.mailbox where recipient = 'eve'"
        until(lambda: done(served.folder, "psql", "-XAt", "-c", query).stdout == "1\n")
        assert eve.end(signal.SIGINT) == 0
    with Program(served.folder, "listen", "eve", "--json", "--since", "0") as eve:
        eve.printed('"type":"notification"')
        hello, notification = map(json.loads, eve.out.splitlines())
        assert hello["last_seq"] == notification["seq"] == 1
        assert eve.end() == 0


def test_listen_tells_of_the_past_how_late_it_was_sent(served: Served) -> None:
    done(served.folder, "send", "tim", "Tea", "Ready")
    query = "select count(*) from notify.notification where recipient = 'tim' and sent_at is not null"
    until(lambda: done(served.folder, "psql", "-XAt", "-c", query).stdout == "1\n")
    # As if it had been sent an hour ago, 7 ms after it was due; the replica's role leaves the triggers out.
    past = "due_at = now() - interval '3600 s', sent_at = now() - interval '3599.993 s'"
    moved = f"update notify.notification set {past} where recipient = 'tim'"
    done(served.folder, "psql", "-Xc", "set session_replication_role = replica", "-c", moved)
    with Program(served.folder, "listen", "tim", "--since", "0") as tim:
        tim.printed(r"  seq 1  #\d+  Tea: Ready   7 ms after due$")
        done(served.folder, "send", "tim", "Cake", "Ready")
        tim.printed(r"  seq 2  #\d+  Cake: Ready   \d+ ms after due$")
        assert tim.end() == 0


def test_listen_says_why_it_is_refused(served: Served) -> None:
    refused = done(served.folder, "listen", "eve", "--since", "nonsense")
    assert refused.returncode == 1
    assert refused.stderr.startswith("notify: ")
    assert "Traceback" not in refused.stderr


def test_what_is_pending_survives_a_kill() -> None:
    with home() as folder:
        started = time.monotonic()
        with Program(folder, "up", "--port", "0") as killed:
            url = killed.ready()
            first = time.monotonic() - started
            sent = done(folder, "send", "ada", "Tea", "Still here", "--at", "+1h")
            assert re.fullmatch(r"#1 ada pending, due \d\d:\d\d:\d\dZ \(in 60 min\)\n", sent.stdout)
            listener = Program(folder, "listen", "ada")
            listener.printed("connected: ada")
            killed.end(signal.SIGKILL)
        assert embedded.running(folder / ".notify") is not None
        assert (folder / ".notify" / "notify.json").exists()
        started = time.monotonic()
        with listener, Program(folder, "up", "--port", url.rpartition(":")[2]) as again:
            again.ready()
            # It waits for no lease, lock or heartbeat of the killed one (10 s and more), and has no cluster to make.
            assert time.monotonic() - started < first + 4
            until(lambda: "connected again" in listener.err)
            moved = done(folder, "psql", "-Xc", "select notify.send(1)")
            assert moved.returncode == 0, moved.stderr
            listener.printed("seq 1  #1  Tea: Still here")
            again.printed("^API keys: notify keys create$")
            assert again.end() == 0
        assert embedded.running(folder / ".notify") is None
        assert not (folder / ".notify" / "notify.json").exists()


def test_port_in_use_is_said_before_anything_is_started() -> None:
    with home() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = done(folder, "up", "--port", str(port))
        assert refused.returncode == 1
        assert refused.stderr == f"notify: cannot listen on 127.0.0.1 port {port}: address already in use\n"
        assert not (folder / ".notify" / "postgres").exists()


def test_stopped_while_it_starts_it_leaves_nothing_running() -> None:
    with home() as folder, Program(folder, "up", "--port", "0") as program:
        until((folder / ".notify" / "postgres" / "postmaster.pid").exists)
        assert program.end() == 0
        assert "Traceback" not in program.err
        assert postmaster.read(folder / ".notify" / "postgres") is None


def test_stops_in_time_though_postgres_is_frozen() -> None:
    with home() as folder, Program(folder, "up", "--port", "0") as up:
        up.ready()
        with Program(folder, "worker") as worker, Program(folder, "listen", "ada") as listener:
            worker.complained("worker started")
            listener.printed("connected")
            with frozen(psutil.Process(embedded.start(folder / ".notify").pid)):
                worker.process.terminate()
                assert up.end() == 0
                assert worker.process.wait(0) == 0
                assert "the next notify up takes it over" in up.err
                assert "Traceback" not in up.err + worker.err
