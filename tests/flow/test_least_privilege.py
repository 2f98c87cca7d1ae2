"""The real processes with logins in notify_api or notify_worker alone, and an application in notify_app alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from helpers import logins
from helpers.http import later
from helpers.programs import Program, done
from helpers.rows import Db, add_recipients, schedule, value
from helpers.wait import until
from notify.jobs import TASKS
from notify.postgres.connection import connect_sync

DENIED = re.compile("permission denied|InsufficientPrivilege")


@pytest.fixture
def key(dsn: str, tmp_path: Path) -> str:
    """An admin key, which only the owner's login can make."""
    made = done(tmp_path, "keys", "create", database_url=dsn)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture
def programs(dsn: str, tmp_path: Path) -> Iterator[tuple[Program, Program]]:
    """`notify api` and `notify worker`; in the end neither has been refused anything."""
    with (
        Program(tmp_path, "api", "--port", "0", database_url=logins.dsn_of(dsn, "notify_api")) as api,
        Program(tmp_path, "worker", database_url=logins.dsn_of(dsn, "notify_worker")) as worker,
    ):
        yield api, worker
        for program in (api, worker):
            assert not DENIED.search(program.out + program.err)


@pytest.fixture
def http(programs: tuple[Program, Program], key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=programs[0].ready(), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def _ok(answer: httpx.Response) -> Any:
    assert answer.is_success, (answer.request.method, str(answer.request.url), answer.status_code, answer.text)
    return answer.json() if answer.content else None


def _add(http: httpx.Client, **fields: Any) -> list[int]:
    body = {"recipients": ["ada", {"id": "bob", "email": "b@example.org"}], "title": "T", "message": "M"}
    ids: list[int] = _ok(http.post("/api/notifications/schedule/", json=body | fields))["notification_ids"]
    return ids


def test_what_an_app_schedules_in_sql_gets_to_a_socket(http: httpx.Client, dsn: str) -> None:
    _ok(http.put("/api/recipients/ada", json={"locale": "en"}))
    token = _ok(http.post("/api/recipients/ada/tokens"))["token"]
    url = str(http.base_url).replace("http", "ws") + "/ws"
    with (
        connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket,
        connect_sync(logins.dsn_of(dsn, "notify_app"), name="app", autocommit=False) as app,
    ):
        assert json.loads(socket.recv(10))["type"] == "hello"
        schedule(app, "ada", title="now")
        app.commit()
        frame = json.loads(socket.recv(10))
        assert (frame["seq"], frame["notification"]["title"]) == (1, "now")
        app.execute("select notify.schedule('{ada}', 'soon', 'M', notify.now() + '300 ms')")
        app.commit()
        assert json.loads(socket.recv(10))["notification"]["title"] == "soon"


def test_every_route_does_its_work(http: httpx.Client, dsn: str, db: Db) -> None:
    _ok(http.post("/api/recipients", json={"recipients": [{"id": "ada"}, {"id": "cleo"}]}))
    _ok(http.put("/api/recipients/ada", json={"time_zone": "Europe/London"}))
    assert _ok(http.get("/api/recipients/ada"))["time_zone"] == "Europe/London"
    one, two = _add(http, scheduled_at=later(), reference="r")
    _ok(http.patch(f"/api/notifications/{one}", json={"scheduled_at": later(hours=2)}))
    assert _ok(http.get(f"/api/notifications/{one}"))["recipient"] == "ada"
    assert _ok(http.get(f"/api/notifications/{one}/schedule_status/"))["scheduled_status"] == "pending"
    _ok(http.delete(f"/api/notifications/{two}/cancel_scheduled/"))
    _ok(http.post(f"/api/notifications/{one}/send"))
    assert _ok(http.get(f"/api/notifications/{one}"))["status"] == "sent"

    first, _ = _add(http, scheduled_at=later(), reference="r")
    db.execute("select notify.park(%s, 'broken')", (first,))
    _ok(http.post(f"/api/notifications/{first}/retry", json={"delay_minutes": 5}))
    assert len(_ok(http.get("/api/notifications?status=pending"))["items"]) == 2
    for query in ("recipient=ada", "reference=r", "status=failed", "type=system", "due_before=2100-01-01T00:00:00Z"):
        _ok(http.get(f"/api/notifications?{query}"))
    _ok(http.delete("/api/notifications?reference=r"))
    _add(http, scheduled_at=later(), reference="s")
    batch = value(db, "select max(id) from notify.batch")
    _ok(http.delete(f"/api/batches/{batch}"))
    assert _ok(http.get(f"/api/batches/{batch}"))["counts"]["cancelled"] == 2

    again = [
        http.post("/api/inbox/read?recipient=ada", json={"up_to_seq": 1}, headers={"Idempotency-Key": "k"})
        for _ in "12"
    ]
    assert [_ok(answer)["marked"] for answer in again] == [1, 1]
    assert again[1].headers["Idempotency-Replayed"] == "true"
    assert _ok(http.get("/api/inbox?recipient=ada"))["unread"] == 0
    _ok(http.delete("/api/recipients/ada"))
    assert http.get("/api/recipients/ada").status_code == 404
    for path in ("/health/live", "/health/ready"):
        _ok(http.get(path))
    assert http.get("/metrics").is_success


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_does_its_work(dsn: str, db: Db, tmp_path: Path, task: str) -> None:
    add_recipients(db, "ada")
    schedule(db, "ada")
    ran = done(tmp_path, "run", task, database_url=logins.dsn_of(dsn, "notify_worker"))
    assert (ran.returncode, DENIED.search(ran.stdout + ran.stderr)) == (0, None), ran.stderr


def test_worker_alone_goes_by_its_jobs_and_is_found_well(dsn: str, db: Db, tmp_path: Path) -> None:
    url = logins.dsn_of(dsn, "notify_worker")
    add_recipients(db, "ada")
    with Program(tmp_path, "worker", database_url=url, ticker_enabled="false") as worker:
        worker.complained("worker started")
        schedule(db, "ada")
        until(lambda: value(db, "select count(*) from notify.notification where status = 'sent'") == 1)
        for login in (url, logins.dsn_of(dsn, "notify_api")):
            found = done(tmp_path, "doctor", "database", "schema", "worker", "--here", database_url=login)
            assert found.returncode == 0, found.stdout + found.stderr
        assert not DENIED.search(worker.out + worker.err)


def test_login_in_no_role_waits_to_be_let_in(dsn: str, db: Db, tmp_path: Path) -> None:
    db.execute("drop role if exists test_stranger")
    db.execute("create role test_stranger login")
    with Program(tmp_path, "worker", database_url=f"{dsn} user=test_stranger") as worker:
        worker.complained("notify migrate grants that")
        db.execute("grant notify_worker to test_stranger")
        worker.complained("worker started")
