"""What a complete schema consists of: the files, each with the name and checksum it is recorded by.

Pure reading; `migrate` compares it with what a database records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import msgspec

REPEATED = ("functions", "views")


class Step(msgspec.Struct, frozen=True):
    """One recorded unit: a migration file, or all functions, or all views."""

    name: str
    text: str
    checksum: str


class Steps(msgspec.Struct, frozen=True):
    """All steps, in the order in which they are applied."""

    bootstrap: str
    procrastinate_schema: str
    procrastinate: tuple[Step, ...]
    migrations: tuple[Step, ...]
    repeated: tuple[Step, ...]

    def names(self) -> set[str]:
        return {step.name for step in (*self.procrastinate, *self.migrations, *self.repeated)}


def read(sql: Path) -> Steps:
    """Read the sql folder and the files that Procrastinate ships.

    Raises FileNotFoundError if `sql` holds no bootstrap.sql, ModuleNotFoundError without Procrastinate.
    """
    procrastinate = files("procrastinate.sql")
    packaged = [item for item in (procrastinate / "migrations").iterdir() if item.name.endswith(".sql")]
    jobs = [(item.name, item.read_text(encoding="utf-8")) for item in packaged]
    migrations = _steps("migrations", _texts(sql / "migrations"))
    return Steps(
        bootstrap=(sql / "bootstrap.sql").read_text(encoding="utf-8"),
        procrastinate_schema=(procrastinate / "schema.sql").read_text(encoding="utf-8"),
        procrastinate=_steps("procrastinate", jobs),
        migrations=migrations,
        repeated=tuple(_repeated(name, _texts(sql / name), migrations) for name in REPEATED),
    )


def _texts(folder: Path) -> list[tuple[str, str]]:
    return [(path.name, path.read_text(encoding="utf-8")) for path in folder.glob("*.sql")]


def _steps(prefix: str, texts: Iterable[tuple[str, str]]) -> tuple[Step, ...]:
    return tuple(Step(f"{prefix}/{name}", text, _checksum(text)) for name, text in sorted(texts))


def _repeated(name: str, texts: Iterable[tuple[str, str]], migrations: tuple[Step, ...]) -> Step:
    """One step of all files of a folder. The migrations count in its checksum, since one may drop a view that
    is in its way: the run that applied it may have died before the views were made again."""
    text = "\n".join(text for _, text in sorted(texts))
    return Step(name, text, _checksum("\n".join([text, *(step.name for step in migrations)])))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
