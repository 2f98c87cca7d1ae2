"""Secrets stay where they belong: out of what others on the machine or in the database see, and of logs and errors."""

from __future__ import annotations

import json
import secrets
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from websockets.sync.client import connect

from helpers import logins
from helpers.programs import Program, done
from helpers.rows import Db, add_recipients, value
from helpers.wait import until
from notify import NotificationScheduler
from notify.access import new_token
from notify.errors import Unavailable
from notify.postgres.connection import connect_sync
from notify.postgres.embedded import Embedded

_ROUNDS = 8
_ACTIVITY = "select coalesce(query, '') || ' ' || coalesce(application_name, '') from pg_stat_activity"


@pytest.fixture
def password(server: Embedded, dsn: str, db: Db) -> str:
    """Of the logins of api and worker, which over TCP have to give it from now on."""
    made = f"pw{secrets.token_hex(12)}"
    hba = server.data_dir / "postgres" / "pg_hba.conf"
    rule = "host all test_api,test_worker 127.0.0.1/32 scram-sha-256\n"
    if not (text := hba.read_text()).startswith(rule):
        hba.write_text(rule + text)
        db.execute("select pg_reload_conf()")
    user = logins.make(dsn, "notify_api")
    until(lambda: _is_refused(host="127.0.0.1", port=server.port, user=user, dbname=db.info.dbname, password="no"))
    return made


def _is_refused(**given: Any) -> bool:
    try:
        psycopg.connect(make_conninfo(**given)).close()
    except psycopg.OperationalError:
        return True
    return False


def _url(server: Embedded, dsn: str, group: str, password: str) -> str:
    """A login's URL as operators write it, with its password."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        user = logins.make(dsn, group)
        admin.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(user), sql.Literal(password)))
        dbname = admin.info.dbname
    return f"postgresql://{user}:{password}@127.0.0.1:{server.port}/{dbname}"


@pytest.fixture
def given(server: Embedded, dsn: str, password: str, tmp_path: Path) -> dict[str, str]:
    """What is secret, by what it is."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        kept: dict[str, str] = dict(admin.execute("select name, value from notify.secret").fetchall())
    token_secret = f"ts{secrets.token_hex(24)}"
    return {
        "password": password,
        "fixed key": f"fk{secrets.token_hex(24)}",
        "stored key": done(tmp_path, "keys", "create", database_url=dsn).stdout.strip(),
        "token secret": token_secret,
        "token": new_token(token_secret, "ada", 600)[0],
        **kept,
    }


def _shown(texts: Iterator[str] | list[str], given: Mapping[str, str]) -> set[str]:
    """Which of the secrets stand in any of these."""
    return {name for text in texts for name, secret in given.items() if secret in text}


def _traffic(url: str, given: Mapping[str, str]) -> list[str]:
    """Whatever carries a credential, right and wrong; the answers to the wrong ones."""
    refused = []
    with httpx.Client(base_url=url) as http:
        for number in range(_ROUNDS):
            for key in ("fixed key", "stored key"):
                headers = {"Authorization": f"Bearer {given[key]}", "Idempotency-Key": f"{key[:2]}{number}"}
                body = {"recipients": ["ada"], "title": "T", "message": "M"}
                assert http.post("/api/notifications/schedule/", json=body, headers=headers).status_code == 201
            assert http.get("/api/inbox", headers={"Authorization": f"Bearer {given['token']}"}).is_success
            for wrong in (f"{given['stored key']}x", f"{given['token']}x", given["token secret"], "a.b.c"):
                answer = http.get("/api/inbox", headers={"Authorization": f"Bearer {wrong}"})
                assert answer.status_code == 401
                refused.append(answer.text)
            with connect(
                f"{url.replace('http', 'ws')}/ws", additional_headers={"Authorization": f"Bearer {given['token']}"}
            ) as socket:
                assert json.loads(socket.recv(10))["type"] == "hello"
    return refused


def _processes(*programs: Program, server: int) -> Iterator[str]:
    """The command lines of ours and of the server's, which every user of the machine may read."""
    for root in (*(program.pid for program in programs), server):
        for process in (psutil.Process(root), *psutil.Process(root).children(recursive=True)):
            try:
                yield " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue


def test_busy_service_shows_no_secret(
    server: Embedded, dsn: str, db: Db, given: dict[str, str], tmp_path: Path
) -> None:
    add_recipients(db, "ada")
    settings = {"api_key": given["fixed key"], "token_secret": given["token secret"], "log_level": "debug"}
    urls = {group: _url(server, dsn, group, given["password"]) for group in ("notify_api", "notify_worker")}
    seen: set[str] = set()
    with (
        Program(tmp_path, "api", "--port", "0", "--workers", "2", database_url=urls["notify_api"], **settings) as api,
        Program(tmp_path, "worker", database_url=urls["notify_worker"], **settings) as worker,
        ThreadPoolExecutor(1) as pool,
    ):
        url = api.ready()
        traffic = pool.submit(_traffic, url, given)

        def look() -> bool:
            seen.update(_shown([text for (text,) in db.execute(_ACTIVITY).fetchall()], given))
            return traffic.done()

        until(look, 60)
        seen |= _shown(_processes(api, worker, server=server.pid), given)
        refused = traffic.result()
        sent = "select count(*) from notify.notification where status = 'sent'"
        until(lambda: value(db, sent) == 2 * _ROUNDS)
        seen |= _shown([api.out, api.err, worker.out, worker.err, *refused], given)
    seen |= _shown([(server.data_dir / "postgres.log").read_text()], given)
    assert seen == set()


WRONG = [
    ("doctor", "database"),
    ("keys", "list"),
    ("migrate",),
    ("run", "sweep"),
    ("status", "1"),
]


@pytest.mark.parametrize("command", WRONG, ids=lambda command: command[0])
def test_wrong_password_is_not_repeated(
    server: Embedded, dsn: str, password: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    _url(server, dsn, "notify_api", password)
    wrong = f"wrong{secrets.token_hex(12)}"
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    for url in (
        f"postgresql://test_api:{wrong}@127.0.0.1:{server.port}/{name}",
        make_conninfo(host="127.0.0.1", port=server.port, user="test_api", password=wrong, dbname=name),
        f"postgresql://test_api:{wrong}@[127.0.0.1:{server.port}/{name}",
    ):
        ended = done(tmp_path, *command, database_url=url, log_level="debug")
        assert ended.returncode != 0
        assert wrong not in ended.stdout + ended.stderr


def test_service_that_waits_does_not_repeat_a_wrong_password(
    server: Embedded, dsn: str, password: str, tmp_path: Path
) -> None:
    url = _url(server, dsn, "notify_api", password).replace(password, f"{password}wrong")
    for command in (["api", "--port", "0"], ["worker"]):
        with Program(tmp_path, *command, database_url=url, log_level="debug") as program:
            program.complained("waiting for the database")
            assert password not in program.out + program.err


def test_client_does_not_repeat_a_wrong_password(server: Embedded, dsn: str, password: str) -> None:
    url = _url(server, dsn, "notify_api", password).replace(password, f"{password}wrong")
    with pytest.raises(Unavailable) as caught, NotificationScheduler(url) as client:
        client.schedule_notification(["ada"], "T", "M")
    assert password not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("command", [("config",), ("doctor", "database"), ("migrate",)], ids=lambda command: command[0])
def test_token_secret_that_is_too_short_is_not_repeated(tmp_path: Path, command: tuple[str, ...]) -> None:
    secret = secrets.token_hex(8)
    ended = done(tmp_path, *command, token_secret=secret, database_url="host=/nowhere")
    assert ended.returncode != 0
    assert secret not in ended.stdout + ended.stderr


@pytest.mark.parametrize("command", [("doctor", "database"), ("api", "--port", "0"), ("migrate",)])
def test_password_that_cuts_its_url_short_is_not_repeated(tmp_path: Path, command: tuple[str, ...]) -> None:
    secret = f"pw{secrets.token_hex(8)}"
    # The slash ends the host, and what was meant as the password is the port.
    ended = done(tmp_path, *command, database_url=f"postgresql://localhost:{secret}/x@127.0.0.1/notify")
    assert ended.returncode != 0
    assert secret not in ended.stdout + ended.stderr


def test_session_that_listens_does_not_show_the_channel(dsn: str, db: Db, given: dict[str, str]) -> None:
    with connect_sync(logins.dsn_of(dsn, "notify_api"), name="listener") as listener:
        assert value(listener, "select notify.listen() is not null")
        assert value(listener, "select pg_listening_channels()") == given["signal_channel"]
        listener.execute("select notify.listen()")
        shown = value(db, "select query from pg_stat_activity where pid = %s", listener.info.backend_pid)
        assert shown == "select notify.listen()"
