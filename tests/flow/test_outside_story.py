"""The guide's story of outside channels, played with real processes, a mail server and a receiver: line by line."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from helpers.http import ADMIN_KEY
from helpers.programs import Program, environment, home
from helpers.receiver import Answer, Receiver
from helpers.rows import Db, value
from helpers.smtp import MailServer
from helpers.wait import until

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
SECRET = "whsec_aGVyZSBhcmUgdHdlbnR5LWZvdXIgYnl0ZXM="
_STORY = GUIDE[GUIDE.index("\n## Outside channels\n") :].partition("\n## Repeating")[0]
_COMMAND = re.compile(r"^\$ (.*?)\n(.*?)(?=^\$ |\Z)", re.MULTILINE | re.DOTALL)


def _commands(block: str) -> list[tuple[str, str]]:
    """What is typed, with its further lines, and what is answered."""
    found = []
    for first, rest in _COMMAND.findall(block):
        lines = [first, *rest.splitlines()]
        # A text in quotes may go on for lines.
        typed = next(n for n in range(1, len(lines) + 1) if "\n".join(lines[:n]).count("'") % 2 == 0)
        found.append(("\n".join(lines[:typed]), "\n".join(lines[typed:]).strip()))
    return found


BLOCKS = [_commands(block) for block in re.findall(r"^```console\n(.*?)^```$", _STORY, re.MULTILINE | re.DOTALL)]


def _is_shown(shown: Any, real: Any) -> bool:
    """Whether the guide shows what there is: it may leave out fields, and the parts of texts for which it has …"""
    if isinstance(shown, dict):
        return isinstance(real, dict) and all(
            name in real and _is_shown(one, real[name]) for name, one in shown.items()
        )
    if isinstance(shown, list):
        same = isinstance(real, list) and len(shown) == len(real)
        return same and all(_is_shown(*pair) for pair in zip(shown, real, strict=True))
    if isinstance(shown, str) and isinstance(real, str):
        return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), real) is not None
    return bool(shown == real)


class _Stage:
    """Where the guide's commands are typed."""

    def __init__(self, folder: Path, url: str, dsn: str, receiver: Receiver) -> None:
        self._folder, self._url, self._dsn, self._receiver = folder, url, dsn, receiver

    def play(self, block: list[tuple[str, str]]) -> None:
        for command, answer in block:
            if "-X " in command:
                assert self._answers(command, answer), self._typed(command)
            else:
                until(lambda command=command, answer=answer: self._answers(command, answer), what=command)  # type: ignore[misc]

    def _answers(self, command: str, answer: str) -> bool:
        said = self._typed(command)
        return _is_shown(json.loads(answer), json.loads(said)) if answer.startswith("{") else said.strip() == answer

    def _typed(self, command: str) -> str:
        command = command.replace("http://localhost:8000", self._url).replace(
            "http://127.0.0.1:9000", self._receiver.url
        )
        command = command.replace("curl ", "curl -sS ").replace(
            "notify ", f"{shlex.quote(sys.executable)} -m notify.cli ", 1 if command.startswith("notify") else 0
        )
        script = f'AUTH="Authorization: Bearer {ADMIN_KEY}" JSON="Content-Type: application/json"\n{command}'
        env = environment(api_key=ADMIN_KEY, database_url=self._dsn)
        ran = subprocess.run(
            ["bash", "-ec", script], cwd=self._folder, env=env, capture_output=True, text=True, timeout=30, check=True
        )
        return ran.stdout


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        running.answer(Answer(503), Answer(503), Answer(204))
        yield running


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as running:
        running.script("RCPT", "550 no such user")
        yield running


def _set_clock(db: Db, at: str) -> None:
    """Let it be that time of day, in UTC, for sessions that begin from now on; those of the service are ended."""
    seconds = value(
        db,
        "select extract(epoch from case when t < now() + %s * interval '1 s' then t + interval '1 day' else t end"
        " - now())"
        " from (select date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' + %s::interval as t) d",
        _ahead(db),
        at,
    )
    name = sql.Identifier(db.info.dbname)
    db.execute(
        sql.SQL("alter database {} set notify.clock_offset = {}").format(name, sql.Literal(f"{seconds} seconds"))
    )
    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )


def _ahead(db: Db) -> float:
    """Seconds by which the clock lies ahead for new sessions."""
    with psycopg.connect(db.info.dsn, autocommit=True) as fresh:
        return float(value(fresh, "select extract(epoch from notify.now() - clock_timestamp())"))


def test_the_story(db: Db, dsn: str, receiver: Receiver, mail: MailServer) -> None:
    _set_clock(db, "23:00")
    settings = {
        "database_url": dsn,
        "api_key": ADMIN_KEY,
        "smtp_url": f"smtp://localhost:{mail.port}",
        "smtp_from": "lessons@example.org",
        "outside_allow": "127.0.0.0/8",
    }
    assert len(BLOCKS) == 6
    with home() as folder, Program(folder, "up", port="0", **settings) as server:
        stage = _Stage(folder, server.ready(), dsn, receiver)
        until(lambda: value(db, "select count(*) from notify.channel where name in ('email', 'webhook')") == 2)
        for block in BLOCKS[:5]:
            stage.play(block)
        assert [sent.recipients for sent in mail.mails] == [["cleo@example.org"]]
        _set_clock(db, "07:00")
        stage.play(BLOCKS[5])
        _check_sinks(receiver, mail)


def _check_sinks(receiver: Receiver, mail: MailServer) -> None:
    assert [sent.recipients for sent in mail.mails] == [["cleo@example.org"], ["ada@example.org"]]
    assert mail.mails[-1].parsed()["Subject"] == "Lesson"
    calls = receiver.requests
    assert len(calls) == 3
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    for call in calls:
        call.verify(SECRET)
    assert calls[-1].json()["data"]["recipient"] == "bob"
