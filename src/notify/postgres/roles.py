"""The group roles that a cluster has for notify: made where they are missing, and made the owner of what there is.

What each may do stands in sql/grants. Roles belong to the whole cluster, and advisory locks to one database: runs in
several databases may meet here, so what another has just done counts as done.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Connection, errors, sql

from notify.errors import MigrationError

OWNER: LiteralString = "notify_owner"
ROLES: dict[LiteralString, LiteralString] = {
    OWNER: "Owns the schemas notify and notify_jobs and all that is in them",
    "notify_api": "What the login of notify api needs",
    "notify_worker": "What the login of notify worker needs",
    "notify_app": "May schedule by the SQL API of notify, and sees none of its tables",
}
Conn = Connection[tuple[Any, ...]]

_TRIES = 5

_MISSING = """
select g.name from unnest(%s::text[]) with ordinality as g (name, place)
where to_regrole(g.name) is null order by g.place
"""
_TOO_POWERFUL = """
select r.rolname from pg_roles r
where r.rolname = any (%s) and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls)
order by r.rolname
"""
# Whoever owned the schema goes on as before; a process of the version before may be logged in as that role.
_TO_JOIN = """
with owners as (
  select n.nspowner as role from pg_namespace n where n.nspname in ('notify', 'notify_jobs')
  union select c.relowner from pg_class c where c.relnamespace::regnamespace::text in ('notify', 'notify_jobs')
  union select current_user::regrole::oid
)
select r.rolname from owners o join pg_roles r on r.oid = o.role
where not r.rolsuper and r.oid <> 'notify_owner'::regrole
  and not (pg_has_role(r.oid, 'notify_owner'::regrole, 'usage') and pg_has_role(r.oid, 'notify_owner'::regrole, %s))
order by r.rolname
"""
_NOT_OWNED = """
select n.nspname, c.relname
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('notify', 'notify_jobs') and c.relkind in ('r', 'p', 'v', 'm', 'S')
  and c.relowner <> 'notify_owner'::regrole
  -- The sequence of a column goes with its table.
  and not (c.relkind = 'S' and exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i')))
order by c.relkind, c.relname
"""
_IN_FORCE = """
select count(*) = cardinality(%(roles)s::text[])
  and bool_and(has_schema_privilege(r.oid, 'notify', 'usage'))
  and bool_or(r.oid = (select n.nspowner from pg_namespace n where n.nspname = 'notify'))
from pg_roles r where r.rolname = any (%(roles)s)
"""


def prepare(conn: Conn) -> None:
    """Make the roles that are missing, and let the present owner of our objects act as notify_owner.

    Raises MigrationError, saying what an administrator has to run, where this login may not.
    """
    try:
        for role in _missing(conn):
            _tolerantly(conn, _create(role))
        _refuse_powerful(conn)
        for member in _to_join(conn):
            _tolerantly(conn, _join(conn, member))
    except errors.InsufficientPrivilege as error:
        raise MigrationError(_for_an_administrator(conn)) from error


def in_force(conn: Conn) -> bool:
    """Whether the roles are there and were granted anything: a dump that was restored elsewhere has neither."""
    return conn.execute(_IN_FORCE, {"roles": list(ROLES)}).fetchone() == (True,)


def not_owned(conn: Conn) -> list[tuple[str, str]]:
    """Schema and name of the tables, views and sequences that are not yet notify_owner's."""
    return [(schema, name) for schema, name in conn.execute(_NOT_OWNED).fetchall()]


def hand_over(conn: Conn, schema: str, name: str) -> None:
    """Make a table, view or sequence notify_owner's."""
    conn.execute(sql.SQL("alter table {} owner to notify_owner").format(sql.Identifier(schema, name)))


def _missing(conn: Conn) -> list[LiteralString]:
    found = {name for (name,) in conn.execute(_MISSING, (list(ROLES),)).fetchall()}
    return [role for role in ROLES if role in found]


def _refuse_powerful(conn: Conn) -> None:
    for (role,) in conn.execute(_TOO_POWERFUL, (list(ROLES),)).fetchall():
        raise MigrationError(
            f"the role {role} has rights over the whole cluster. Take them from it, or from who uses that name: "
            f"alter role {role} nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
        )


def _to_join(conn: Conn) -> list[str]:
    # From 16 on, who inherits a role's rights need not be allowed to give things to it.
    may_give = "set" if _has_options(conn) else "member"
    return [name for (name,) in conn.execute(_TO_JOIN, (may_give,)).fetchall()]


def _create(role: LiteralString) -> sql.Composed:
    return sql.SQL("create role {name} nologin; comment on role {name} is {comment}").format(
        name=sql.Identifier(role), comment=sql.Literal(ROLES[role])
    )


def _join(conn: Conn, member: str) -> sql.Composed:
    # Who made the role with createrole has it with admin option only, and has to grant itself the rest.
    options = sql.SQL(" with inherit true, set true" if _has_options(conn) else "")
    return sql.SQL("grant notify_owner to {}{}").format(sql.Identifier(member), options)


def _has_options(conn: Conn) -> bool:
    return conn.info.server_version >= 160_000


def _tolerantly(conn: Conn, statement: sql.Composed) -> None:
    """Run a statement that a run in another database may run at the same moment."""
    for tries_left in reversed(range(_TRIES)):
        try:
            with conn.transaction():
                conn.execute(statement)
        except (errors.DuplicateObject, errors.UniqueViolation):
            return
        except errors.InternalError_:  # tuple concurrently updated
            if not tries_left:
                raise
        else:
            return


def _for_an_administrator(conn: Conn) -> str:
    lines = [f"create role {role} nologin;" for role in _missing(conn)]
    lines += [f"{_join(conn, member).as_string(conn)};" for member in _members(conn)]
    told = "this login may neither make the roles of notify nor join them; an administrator has to run, once:"
    return "\n  ".join([told, *lines])


def _members(conn: Conn) -> list[str]:
    """Who has to join notify_owner; where that is not there yet, this login."""
    if OWNER not in _missing(conn):
        return _to_join(conn)
    return [name for (name,) in conn.execute("select current_user::text").fetchall()]
