"""The guide's story of outside channels, played line by line, with real processes and the sinks that it shows."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from helpers.http import ADMIN_KEY
from helpers.programs import Program, environment, home
from helpers.rows import Db, value
from helpers.wait import until

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
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


(SINKS,) = re.findall(r"^```python\n# sinks.py\n(.*?)^```$", _STORY, re.MULTILINE | re.DOTALL)
BLOCKS = [_commands(block) for block in re.findall(r"^```console\n(.*?)^```$", _STORY, re.MULTILINE | re.DOTALL)]


def _is_said(shown: str, real: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), real) is not None


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
        return _is_said(shown, real)
    return bool(shown == real)


class _Stage:
    """Where the guide's commands are typed."""

    def __init__(self, folder: Path, url: str, dsn: str, receiver: str) -> None:
        self._folder, self._url, self._dsn, self._receiver = folder, url, dsn, receiver

    def play(self, block: list[tuple[str, str]]) -> None:
        for command, answer in block:
            if "-X " in command:
                assert self._answers(command, answer), self._typed(command)
            else:
                until(lambda command=command, answer=answer: self._answers(command, answer), what=command)  # type: ignore[misc]

    def _answers(self, command: str, answer: str) -> bool:
        said = self._typed(command)
        return (
            _is_shown(json.loads(answer), json.loads(said))
            if answer.startswith("{")
            else _is_said(answer, said.strip())
        )

    def _typed(self, command: str) -> str:
        command = command.replace("http://localhost:8000", self._url).replace("http://127.0.0.1:9000", self._receiver)
        command = command.replace("curl ", "curl -sS ").replace(
            "notify ", f"{shlex.quote(sys.executable)} -m notify.cli ", 1 if command.startswith("notify") else 0
        )
        script = f'AUTH="Authorization: Bearer {ADMIN_KEY}" JSON="Content-Type: application/json"\n{command}'
        env = environment(api_key=ADMIN_KEY, database_url=self._dsn)
        ran = subprocess.run(
            ["bash", "-ec", script], cwd=self._folder, env=env, capture_output=True, text=True, timeout=120, check=True
        )
        return ran.stdout


@contextmanager
def _sinks(folder: Path) -> Iterator[tuple[str, str]]:
    """The guide's own, at free ports; they print to sinks.log. The URLs of the mail server and the receiver."""
    mail, receiver = _free_port(), _free_port()
    script = SINKS.replace("2525", str(mail)).replace("9000", str(receiver))
    with (folder / "sinks.log").open("wb") as log:
        sinks = subprocess.Popen([sys.executable, "-c", script], stdout=log, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(mail) and _listens(receiver))
        yield f"smtp://127.0.0.1:{mail}", f"http://127.0.0.1:{receiver}"
    finally:
        sinks.kill()
        sinks.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _set_clock(db: Db, at: str) -> None:
    """Let it be that time of day, in UTC, for sessions that begin from now on; those of the service are ended."""
    seconds = value(
        db,
        # The clock may be a day ahead already: it is never put back.
        "select extract(epoch from t - now() + interval '1 day'"
        " * greatest(0, ceil((extract(epoch from now() - t) + %s) / 86400)))"
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


def test_the_story(db: Db, dsn: str) -> None:
    _set_clock(db, "23:00")
    settings = {
        "database_url": dsn,
        "api_key": ADMIN_KEY,
        "smtp_from": "lessons@example.org",
        "outside_allow": "127.0.0.0/8",
    }
    assert len(BLOCKS) == 6
    with (
        home() as folder,
        _sinks(folder) as (mail, receiver),
        Program(folder, "up", port="0", smtp_url=mail, **settings) as server,
    ):
        stage = _Stage(folder, server.ready(), dsn, receiver)
        until(lambda: value(db, "select count(*) from notify.channel where name in ('email', 'webhook')") == 2)
        for block in BLOCKS[:5]:
            stage.play(block)
        _set_clock(db, "07:00")
        stage.play(BLOCKS[5])
        ids = re.findall(r"^(ntf-\S+) to /bob", (folder / "sinks.log").read_text(), re.MULTILINE)
    assert len(ids) == 3
    assert len(set(ids)) == 1
