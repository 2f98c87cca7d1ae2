"""What Postgres really did for a statement, and for those inside its functions: plans and pages, by auto_explain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from notify.postgres.queries import text

Db = psycopg.Connection[tuple[Any, ...]]
Node = dict[str, Any]
# Postgres compares a plan for any parameters with five for given ones.
_SETTLED_AFTER = 6


class Plans:
    """Everything that one call ran."""

    def __init__(self, plans: list[Node]) -> None:
        self._plans = plans

    @property
    def pages(self) -> int:
        """Pages that were touched. The outermost statement ends last, and counts what those inside it touched."""
        outermost = self._plans[-1]["Plan"]
        return int(outermost["Shared Hit Blocks"]) + int(outermost["Shared Read Blocks"])

    def scans(self, table: str) -> set[str]:
        """How this table was read: `Index Scan notification_due`, or `Seq Scan`."""
        nodes = [node for node in self._nodes() if node.get("Relation Name") == table and "Scan" in node["Node Type"]]
        return {" ".join(filter(None, (_kind(node), node.get("Index Name", _bitmap_index(node))))) for node in nodes}

    @property
    def most_sorted(self) -> int:
        """Rows of the biggest sort."""
        sorts = [node for node in self._nodes() if node["Node Type"] in ("Sort", "Incremental Sort")]
        return max((int(node["Plans"][0]["Actual Rows"]) for node in sorts), default=0)

    def __str__(self) -> str:
        return "\n".join(f"{plan['Query Text']}\n{json.dumps(plan['Plan'], indent=1)}" for plan in self._plans)

    def _nodes(self) -> Iterator[Node]:
        for plan in self._plans:
            yield from _walk(plan["Plan"])


class Explainer:
    """Runs statements in a transaction that is undone, and returns their plans."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._seen: list[Node] = []
        db.add_notice_handler(lambda notice: self._note(notice.message_primary or ""))
        db.execute("load 'auto_explain'")
        for name, value in {
            "log_nested_statements": "on",
            "log_analyze": "on",
            "log_buffers": "on",
            "log_timing": "off",
            "log_format": "json",
            "log_level": "notice",
        }.items():
            db.execute(sql.SQL("set {} to {}").format(sql.Identifier("auto_explain", name), sql.Literal(value)))

    def text(self, name: str) -> str:
        return text(name)

    def query(self, name: str, *, settled: bool = False, **params: Any) -> Plans:
        """A statement of sql/queries. `settled`: as a long-lived session runs it, which may have chosen a plan for
        any parameters by then, and not as its first call."""
        mode = "auto" if settled else "force_custom_plan"
        # Twice at least, so that the pages of the system catalogs do not count: explaining reads more of them.
        for _ in range(_SETTLED_AFTER if settled else 1):
            self._run(text(name), params, mode=mode)
        self._run(text(name), params, mode=mode, explained=True)
        self._seen = []
        self._run(text(name), params, mode=mode, explained=True)
        return Plans(self._seen)

    def _run(self, statement: LiteralString, params: Mapping[str, Any], *, mode: str, explained: bool = False) -> None:
        with self._db.transaction(force_rollback=True):
            self._db.execute(sql.SQL("set local plan_cache_mode to {}").format(sql.Literal(mode)))
            if explained:
                self._db.execute("set local auto_explain.log_min_duration to 0")
            self._db.execute(statement, params, prepare=True)

    def _note(self, message: str) -> None:
        _, found, plan = message.partition("plan:\n")
        if found:
            self._seen.append(json.loads(plan))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", []):
        yield from _walk(child)


def _kind(node: Node) -> str:
    return str(node["Node Type"]).replace("Index Only Scan", "Index Scan")


def _bitmap_index(node: Node) -> str | None:
    names = [child["Index Name"] for child in _walk(node) if "Index Name" in child]
    return "+".join(names) or None
