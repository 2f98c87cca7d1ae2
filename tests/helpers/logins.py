"""Logins that are nothing but members of one of notify's roles, as an operator makes them."""

from __future__ import annotations

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

GROUPS = ("notify_app", "notify_api", "notify_worker")


def make(dsn: str, *groups: str, password: str | None = None) -> str:
    """A login in these groups, the same whenever it is asked for; its name."""
    name = "_".join(("test", *(group.removeprefix("notify_") for group in groups)))
    with psycopg.connect(dsn, autocommit=True) as admin:
        try:
            members = sql.SQL(", ").join(map(sql.Identifier, groups))
            admin.execute(sql.SQL("create role {} login in role {}").format(sql.Identifier(name), members))
        except errors.DuplicateObject:
            pass
        if password is not None:
            admin.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(name), sql.Literal(password)))
    return name


def dsn_of(dsn: str, *groups: str) -> str:
    """How such a login reaches the same database."""
    return make_conninfo(dsn, user=make(dsn, *groups))
