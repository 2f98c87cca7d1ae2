"""Never early by the database's clock, with the clocks of API and worker off by an hour either way."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from typing import Any

import httpx
import pytest

from faults.conftest import Run
from helpers.http import ADMIN_KEY
from helpers.rows import Db, add_recipients, one, soon, statuses, value
from helpers.wait import until

_KEY = {"Authorization": f"Bearer {ADMIN_KEY}"}


def _preload() -> str | None:
    """The library that fakes a process's wall clock, where Debian's package faketime is installed."""
    if shutil.which("faketime") is None:
        return None
    asked = ["faketime", "-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """From here on programs that are started live so far off."""
    library = _preload()
    if library is None:
        pytest.skip("Debian's package faketime is not installed")
    monkeypatch.setenv("LD_PRELOAD", library)
    monkeypatch.setenv("FAKETIME", request.param)
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
    offset: str = request.param
    return offset


@pytest.mark.parametrize("skewed", ["+1h", "-1h"], indirect=True)
def test_clocks_of_processes_decide_nothing(run: Run, dsn: str, db: Db, skewed: str) -> None:
    add_recipients(db, "ada")
    off = subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True)
    apart = float(off.stdout) - float(value(db, "select extract(epoch from clock_timestamp())"))
    assert abs(apart - {"+1h": 3600, "-1h": -3600}[skewed]) < 60  # else nothing is tested here
    worker = run("worker", database_url=dsn)
    api = run("api", database_url=dsn)
    url = api.ready()

    def post(at: Any) -> httpx.Response:
        body = {"recipients": ["ada"], "title": "T", "message": "M", "scheduled_at": at.isoformat()}
        return httpx.post(f"{url}/api/notifications/schedule/", json=body, headers=_KEY)

    past = post(soon(db, "-1 second"))
    assert (past.status_code, past.json()["type"]) == (400, "urn:notify:problem:time-not-in-future")
    answers = [post(soon(db, "1500 milliseconds")), post(soon(db, "30 minutes"))]
    near, far = (answer.json()["notification_ids"][0] for answer in answers)
    until(lambda: statuses(db, [near]) == ["sent"], 20)
    row = one(db, "select sent_at - due_at as late from notify.notification where id = %s", near)
    assert timedelta() <= row["late"] < timedelta(seconds=5)
    assert statuses(db, [far]) == ["pending"]
    token = httpx.post(f"{url}/api/recipients/ada/tokens", headers=_KEY).json()["token"]
    inbox = httpx.get(f"{url}/api/inbox", headers={"Authorization": f"Bearer {token}"})
    assert [item["notification"]["id"] for item in inbox.json()["items"]] == [near]
    assert worker.end() == 0
    assert api.end() == 0
