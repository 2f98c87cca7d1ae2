"""What a complete schema consists of: the files, each with the name and checksum it is recorded by.

Pure reading; `migrate` compares it with what a database records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

REPEATED = ("jobs", "functions", "views", "grants")


class Step(msgspec.Struct, frozen=True):
    """One recorded unit: a migration file, or all changes to Procrastinate's schema, all functions, all views,
    or all grants."""

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

    Raises FileNotFoundError if `sql` holds no bootstrap.sql or jobs.sql, ModuleNotFoundError without Procrastinate.
    """
    procrastinate = files("procrastinate.sql")
    packaged = _steps(
        "procrastinate", [(item.name, item.read_text(encoding="utf-8")) for item in packaged_migrations()]
    )
    migrations = _steps("migrations", _texts(sql / "migrations"))
    made = (
        _repeated("jobs", (sql / "jobs.sql").read_text(encoding="utf-8"), packaged),
        *(_repeated(name, _all(sql / name), migrations) for name in ("functions", "views")),
    )
    return Steps(
        bootstrap=(sql / "bootstrap.sql").read_text(encoding="utf-8"),
        procrastinate_schema=(procrastinate / "schema.sql").read_text(encoding="utf-8"),
        procrastinate=packaged,
        migrations=migrations,
        repeated=(*made, *_grants(sql / "grants", (*packaged, *migrations, *made))),
    )


def packaged_migrations() -> list[Traversable]:
    """The migrations that Procrastinate ships."""
    folder = files("procrastinate.sql") / "migrations"
    return [item for item in folder.iterdir() if item.name.endswith(".sql")]


def _texts(folder: Path) -> list[tuple[str, str]]:
    return [(path.name, path.read_text(encoding="utf-8")) for path in folder.glob("*.sql")]


def _steps(prefix: str, texts: Iterable[tuple[str, str]]) -> tuple[Step, ...]:
    return tuple(Step(f"{prefix}/{name}", text, _checksum(text)) for name, text in sorted(texts))


def _all(folder: Path) -> str:
    return "\n".join(text for _, text in sorted(_texts(folder)))


def _repeated(name: str, text: str, after: Iterable[Step]) -> Step:
    """A step to be done again after new ones of `after`, whose names count in its checksum: one may drop a view that
    is in its way, or replace a function, and the run that applied it may have died right then."""
    return Step(name, text, _checksum("\n".join([text, *(step.name for step in after)])))


def _grants(folder: Path, after: Iterable[Step]) -> tuple[Step, ...]:
    """Granted anew after anything else: what is new belongs to whoever made it. Without the folder, no roles."""
    if not folder.is_dir():
        return ()
    text = _all(folder)
    return (Step("grants", text, _checksum("\n".join([text, *(f"{step.name} {step.checksum}" for step in after)]))),)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
