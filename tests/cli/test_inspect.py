"""config, doctor, migrate and psql on a database of one's own."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from cli.conftest import Notify
from conftest import Connect
from helpers.rows import Db, add_recipients, schedule_ids
from notify.cli import doctor
from notify.cli.schema import variables
from notify.config import Settings
from notify.postgres.connection import here


def test_config_names_every_setting_and_its_source(
    notify: Notify, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s" * 40)
    monkeypatch.setenv("NOTIFY_TOKEN_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("NOTIFY_DATABASE_URL", "postgresql://me:hidden@db/app")
    monkeypatch.setenv("NOTIFY_HOTS", "typo")
    answer = notify("config")
    shown = {line.split()[0]: line.split()[1:3] for line in answer.out.splitlines()}
    assert len(shown) == len(Settings.__struct_fields__)
    assert shown["NOTIFY_PORT"] == ["8000", "default"]
    assert shown["NOTIFY_TOKEN_SECRET"] == ["***", "file"]
    assert shown["NOTIFY_DATABASE_URL"] == ["postgresql://me:***@db/app", "environment"]
    assert "hidden" not in answer.out + notify("config", "--json").out
    assert answer.err == "notify: NOTIFY_HOTS is set, but there is no such setting\n"
    assert notify("config", "--database-url").out == "postgresql://me:***@db/app\n"


def test_config_says_what_is_wrong(notify: Notify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_PORT", "many")
    refused = notify("config")
    assert refused.status == 1
    assert refused.err.startswith("notify: NOTIFY_PORT='many' should be a whole number")


def test_doctor_finds_what_is_wrong(notify: Notify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_PORT", "1")
    answer = notify("doctor", "--json")
    found = {(finding["check"], finding["state"]): finding["detail"] for finding in json.loads(answer.out)}
    assert answer.status == 1
    assert found["schema", "ok"] == "up to date"
    assert "start notify up or notify worker" in found["worker", "wrong"]
    assert "http://127.0.0.1:1/health/ready does not answer" in found["api", "wrong"]
    assert found["database", "warning"].startswith("fsync is off")  # as the test server does without
    assert notify("doctor", "schema").status == 0


@pytest.mark.parametrize("command", ["up", "worker", "api"])
def test_a_service_without_a_clock_is_refused(notify: Notify, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("NOTIFY_TICKER_ENABLED", "no")
    monkeypatch.setenv("NOTIFY_JOBS_ENABLED", "off")
    refused = "NOTIFY_TICKER_ENABLED and NOTIFY_JOBS_ENABLED are both false: nothing would be sent"
    assert notify(command) == (1, "", f"notify: {refused}\n")


def _worker(notify: Notify, *options: str) -> tuple[int, str, str]:
    answer = notify("doctor", "worker", "--json", *options)
    (finding,) = json.loads(answer.out)
    return answer.status, finding["state"], finding["detail"]


def test_doctor_counts_workers_by_their_sessions(
    notify: Notify, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    elsewhere = [connect(name=f"worker {name}") for name in ("boxer:1", "boxer:1", "boxer:2")]
    assert _worker(notify) == (0, "ok", "2 running, nothing overdue")
    assert _worker(notify, "--here") == (1, "wrong", "no worker runs here, nothing overdue: look at its log")
    here = connect(name="worker box:1")
    assert _worker(notify) == (0, "ok", "3 running, nothing overdue")
    assert _worker(notify, "--here") == (0, "ok", "1 running here, nothing overdue")
    monkeypatch.setattr(doctor, "_SILENT_SECONDS", 0)
    here.execute("begin")  # not idle
    assert _worker(notify) == (0, "ok", "1 running, nothing overdue")
    here.close()
    assert _worker(notify)[:2] == (1, "wrong")
    assert [session.closed for session in elsewhere] == [False] * 3


def test_doctor_does_not_blame_this_worker_for_a_late_row(notify: Notify, connect: Connect, db: Db) -> None:
    connect(name=f"worker {here()}:1")
    add_recipients(db, "ada")
    schedule_ids(db, "ada")
    db.execute("update notify.notification set due_at = due_at - interval '2 minutes'")
    late = "1 overdue by up to 120 s: look at notify.stuck"
    assert _worker(notify) == (1, "wrong", late)
    assert _worker(notify, "--here") == (0, "warning", late)


def test_doctor_without_schema_or_database(notify: Notify, monkeypatch: pytest.MonkeyPatch, bare_dsn: str) -> None:
    monkeypatch.setenv("NOTIFY_DATABASE_URL", bare_dsn)
    checked = notify("doctor", "worker")
    assert (checked.status, "run notify migrate" in checked.out) == (1, True)
    monkeypatch.delenv("NOTIFY_DATABASE_URL")
    checked = notify("doctor", "database")
    assert (checked.status, checked.err) == (1, "")
    assert "start notify up or set NOTIFY_DATABASE_URL" in checked.out


def test_migrate_says_what_it_does(notify: Notify, monkeypatch: pytest.MonkeyPatch, bare_dsn: str) -> None:
    monkeypatch.setenv("NOTIFY_DATABASE_URL", bare_dsn)
    assert notify("migrate", "--check") == (1, "not this version's schema\n", "")
    planned = notify("migrate", "--plan").out
    assert "migrations/0001_tables.sql\n" in planned
    applied = notify("migrate").out
    assert [line.removeprefix("applied ") for line in applied.splitlines()] == planned.splitlines()
    assert notify("migrate", "--check", "--json") == (0, '{"current":true}\n', "")
    assert notify("migrate") == (0, "nothing to do\n", "")


def test_commands_ask_for_migrations_where_there_is_no_schema(
    notify: Notify, monkeypatch: pytest.MonkeyPatch, bare_dsn: str
) -> None:
    monkeypatch.setenv("NOTIFY_DATABASE_URL", bare_dsn)
    refused = notify("send", "ada", "x", "y")
    assert refused.status == 1
    assert "run notify migrate" in refused.err
    assert refused.err.count("\n") == 1


def test_a_database_that_does_not_answer(notify: Notify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/x")
    refused = notify("status", "1")
    assert refused.status == 2
    assert refused.err.startswith("notify: the database does not answer (")
    assert refused.err.endswith("): start notify up or set NOTIFY_DATABASE_URL\n")
    assert "hidden" not in refused.err


@pytest.mark.parametrize("command", ["worker", "api", "send a b c", "listen a", "psql", "migrate", "keys list"])
def test_no_database_is_a_wrong_call(notify: Notify, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.delenv("NOTIFY_DATABASE_URL")
    refused = "notify: no database: start notify up or set NOTIFY_DATABASE_URL\n"
    assert notify(*command.split()) == (2, "", refused)


def test_psql_is_told_by_variables() -> None:
    told = variables("postgresql://me:secret@db:6432/app?sslmode=require&keepalives=1")
    assert told == {
        "PGHOST": "db",
        "PGPORT": "6432",
        "PGUSER": "me",
        "PGPASSWORD": "secret",
        "PGDATABASE": "app",
        "PGSSLMODE": "require",
        "PGAPPNAME": "notify-psql",
    }


def test_help_lists_the_commands(notify: Notify) -> None:
    answer = notify("--help")
    assert answer.status == 0
    for command in ("up", "api", "worker", "migrate", "psql", "keys", "token", "send", "listen", "doctor"):
        assert f"\n  {command} " in answer.out
