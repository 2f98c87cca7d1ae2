"""`notify api` and `notify worker` on a database of one's own."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from helpers.programs import Program, descendants, done
from helpers.wait import until


def _serves(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").is_success
    except httpx.TransportError:
        return False


def test_api_serves_and_stops(tmp_path: Path, dsn: str) -> None:
    with Program(tmp_path, "api", "--port", "0", database_url=dsn) as api:
        assert httpx.get(f"{api.ready()}/health/ready").is_success
        assert api.end() == 0


def test_children_are_replaced_and_do_not_outlive_their_parent(tmp_path: Path, dsn: str) -> None:
    with Program(tmp_path, "api", "--port", "0", "--workers", "2", database_url=dsn) as api:
        url = api.ready()
        before = {child.pid for child in descendants(api.pid)}
        assert len(before) == 2
        psutil.Process(min(before)).kill()
        until(lambda: len({child.pid for child in descendants(api.pid)} - before) == 1)
        assert "status -9" in api.err
        until(lambda: _serves(url))
        orphans = descendants(api.pid)
        assert api.end(signal.SIGKILL) == -signal.SIGKILL
        gone, alive = psutil.wait_procs(orphans, timeout=10)
        assert (len(gone), alive) == (2, [])
        assert not _serves(url)


def test_parent_stops_its_children(tmp_path: Path, dsn: str) -> None:
    with Program(tmp_path, "api", "--port", "0", "--workers", "2", database_url=dsn) as api:
        api.ready()
        children = descendants(api.pid)
        assert api.end() == 0
        assert not any(child.is_running() for child in children)


def _worker(folder: Path, dsn: str, *options: str) -> str:
    """What the doctor says about the worker; its status is right."""
    checked = done(folder, "doctor", "worker", "--json", *options, database_url=dsn)
    (finding,) = json.loads(checked.stdout)
    assert checked.returncode == (finding["state"] != "ok")
    return str(finding["detail"])


@pytest.mark.parametrize("off", [{}, {"ticker_enabled": "false"}, {"jobs_enabled": "false"}])
def test_doctor_counts_the_workers_that_live(tmp_path: Path, dsn: str, off: dict[str, str]) -> None:
    with (
        Program(tmp_path, "worker", database_url=dsn, **off) as one,
        Program(tmp_path, "worker", database_url=dsn, **off) as other,
    ):
        one.complained("worker started")
        other.complained("worker started")
        until(lambda: _worker(tmp_path, dsn) == "2 running, nothing overdue")
        one.end(signal.SIGKILL)
        assert _worker(tmp_path, dsn, "--here") == "1 running here, nothing overdue"
    assert _worker(tmp_path, dsn).startswith("no worker runs, nothing overdue")


@pytest.mark.parametrize("command", ["api", "worker"])
def test_waits_for_the_schema(tmp_path: Path, bare_dsn: str, command: str) -> None:
    with Program(tmp_path, command, database_url=bare_dsn, port="0") as service:
        service.complained("waiting for the database.*run notify migrate")
        assert done(tmp_path, "migrate", database_url=bare_dsn).returncode == 0
        if command == "api":
            service.ready()
        else:
            service.complained("worker started")
        assert service.end() == 0
