"""The Postgres of `notify up` dies, and comes back where it was; or `notify up` says why it cannot."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil

from helpers.programs import Program, done, home
from helpers.wait import until
from notify.postgres import embedded, postmaster

GONE = "Postgres is gone, starting it again"


def _server(folder: Path) -> psutil.Process:
    found = postmaster.read(folder / ".notify" / "postgres")
    assert found is not None
    return psutil.Process(found.pid)


def _kill(folder: Path) -> int:
    """Kill the postmaster; who it was."""
    pid = _server(folder).pid
    os.kill(pid, signal.SIGKILL)
    return pid


def _doctor(folder: Path) -> dict[str, str]:
    return {found["check"]: found["state"] for found in json.loads(done(folder, "doctor", "--json").stdout)}


def test_killed_it_comes_back_and_so_do_all_parts() -> None:
    with home() as folder:
        with Program(folder, "up", "--port", "0") as before:
            before.ready()
            before.end(signal.SIGKILL)
        with Program(folder, "up", "--port", "0") as up:
            up.ready()
            with Program(folder, "listen", "ada") as listener:
                listener.printed("connected: ada")
                # First the server that it found running, then its own child.
                for number in (1, 2):
                    sent = done(folder, "send", "ada", "Tea", "Still here", "--at", "+1h").stdout
                    id = sent.partition(" ")[0].removeprefix("#")  # some are skipped where a server was killed
                    killed = _kill(folder)
                    until(lambda: up.err.count("Postgres runs again") == number)  # noqa: B023 - called here
                    assert up.err.count(GONE) >= number
                    assert _server(folder).pid != killed
                    done(folder, "psql", "-Xc", f"select notify.send({id})")
                    listener.printed(f"seq {number}  #{id}  Tea: Still here")
            healthy = dict.fromkeys(("database", "schema", "worker", "api", "disk"), "ok")
            until(lambda: _doctor(folder) == healthy)
            assert up.end() == 0
            assert "Traceback" not in up.err
        assert embedded.running(folder / ".notify") is None


def test_that_it_cannot_be_started_again_is_said() -> None:
    with home() as folder, Program(folder, "up", "--port", "0") as up:
        up.ready()
        with (folder / ".notify" / "postgres" / "postgresql.conf").open("a") as file:
            file.write("max_connections = many\n")
        _kill(folder)
        until(lambda: up.process.poll() is not None)
        assert up.process.returncode == 1
        said = up.err[up.err.index("notify: Postgres does not stay up") :]
        assert "after 5 tries in a row to start it again" in said
        assert ".notify/postgres.log complains of, then start notify up again" in said
        assert 'invalid value for parameter "max_connections": "many"' in said
        assert up.err.count(GONE) == 5
        assert postmaster.read(folder / ".notify" / "postgres") is None


def test_told_to_stop_it_does_not_bring_it_back() -> None:
    with home() as folder, Program(folder, "up", "--port", "0") as up:
        up.ready()
        orphan = _server(folder).children()[0]
        orphan.suspend()  # a new server waits for what still has the data of the old one in hand
        try:
            _kill(folder)
            up.complained(GONE)
            until(lambda: "pre-existing shared memory" in (folder / ".notify" / "postgres.log").read_text())
            assert "already serves" in done(folder, "up", "--port", "0").stderr
            assert up.end() == 0
            assert "Traceback" not in up.err
            assert not [child for child in psutil.process_iter(["name", "cwd"]) if _works_here(child, folder, orphan)]
        finally:
            orphan.kill()


def _works_here(process: psutil.Process, folder: Path, orphan: psutil.Process) -> bool:
    in_it = process.info["cwd"] == str((folder / ".notify" / "postgres").resolve())
    return in_it and process.info["name"].startswith("postgres") and process.pid != orphan.pid
