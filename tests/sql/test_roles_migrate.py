"""The roles come about and databases come to them: by whom, in many databases at once, and under running processes."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from helpers import folders, logins
from helpers.rows import Db, add_recipients, call_one, column, drain, schedule, value
from notify.errors import MigrationError
from notify.postgres import embedded
from notify.postgres import migrate as migrating
from notify.postgres.connection import connect_sync
from notify.postgres.embedded import Embedded
from notify.postgres.migrate import check, migrate, plan
from notify.postgres.queries import sql_dir
from notify.postgres.roles import ROLES

NOT_OURS: LiteralString = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('notify', 'notify_jobs') and c.relkind in ('r', 'v', 'S') and c.relowner <> 'notify_owner'::regrole
union all
select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('notify', 'notify_jobs') and p.proowner <> 'notify_owner'::regrole
"""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Embedded]:
    """A server of the module's own, as roles belong to a whole cluster."""
    with tempfile.TemporaryDirectory(prefix="notify-tests-", dir=folders.folder()) as folder:
        running = embedded.start(Path(folder), settings={"fsync": "off"})
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def cluster(own_server: Embedded) -> Iterator[Embedded]:
    """The module's server, without roles and databases but its own."""
    yield own_server
    with psycopg.connect(own_server.dsn("postgres"), autocommit=True) as admin:
        own = "select datname from pg_database where datname not in ('postgres', 'notify') and not datistemplate"
        for name in column(admin, own):
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        for name in column(admin, "select rolname from pg_roles where rolname !~ '^pg_' and not rolsuper"):
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture
def admin(cluster: Embedded) -> Iterator[Db]:
    """A superuser in another database."""
    with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as connection:
        yield connection


def _database(cluster: Embedded, admin: Db, name: str, owner: str = "postgres", options: LiteralString = "") -> str:
    """A database that belongs to a login, made where it is missing; how that reaches it."""
    if owner != "postgres":
        admin.execute(sql.SQL("create role {} login " + options).format(sql.Identifier(owner)))
    admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(owner)))
    return make_conninfo(cluster.dsn(name), user=owner)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The sql folder as it was before there were roles."""
    folder = tmp_path / "before"
    shutil.copytree(sql_dir(), folder, ignore=shutil.ignore_patterns("grants", "0002_*", "secret.sql", "status.sql"))
    for path in (folder / "functions").glob("*.sql"):
        text = path.read_text().replace(" security definer set search_path = pg_catalog, pg_temp", "")
        path.write_text(text.replace(" security definer", ""))
    return folder


def _works(dsn: str) -> None:
    """Each role does its part."""
    with connect_sync(logins.dsn_of(dsn, "notify_app"), name="app") as app:
        add_recipients(app, "ada")
        schedule(app, "ada")
    with connect_sync(logins.dsn_of(dsn, "notify_worker"), name="worker") as worker:
        assert drain(worker)["sent"] >= 1
    with connect_sync(logins.dsn_of(dsn, "notify_api"), name="api") as api:
        assert value(api, "select last_seq from notify.mailbox where recipient = 'ada'") >= 1


def test_login_that_may_make_roles_migrates(cluster: Embedded, admin: Db) -> None:
    dsn = _database(cluster, admin, "shop", "shop", "createrole")
    migrate(dsn)
    assert check(dsn)
    assert migrate(dsn).applied == ()
    with psycopg.connect(dsn, autocommit=True) as owner:
        assert column(owner, NOT_OURS) == []
        # What this version has already, it may also replace.
        owner.execute("delete from notify.migration where name in ('jobs', 'functions', 'views', 'grants')")
    assert migrate(dsn).applied == ("jobs", "functions", "views", "grants")
    _works(cluster.dsn("shop"))


def test_login_that_may_not_make_roles_says_what_an_administrator_has_to_run(cluster: Embedded, admin: Db) -> None:
    dsn = _database(cluster, admin, "shop", "shop")
    with pytest.raises(MigrationError) as caught:
        migrate(dsn)
    statements = re.findall(r"^  (.*;)$", str(caught.value), re.MULTILINE)
    assert statements[:4] == [f"create role {role} nologin;" for role in ROLES]
    assert len(statements) == 5
    for statement in statements[:4]:
        admin.execute(statement.encode())
    # The roles alone do not make it an owner.
    with pytest.raises(MigrationError) as caught:
        migrate(dsn)
    assert re.findall(r"^  (.*;)$", str(caught.value), re.MULTILINE) == statements[4:]
    admin.execute(statements[4].encode())
    assert migrate(dsn).applied[-1] == "grants"
    assert check(dsn)
    with psycopg.connect(dsn, autocommit=True) as owner:
        assert column(owner, NOT_OURS) == []
    _works(cluster.dsn("shop"))


def test_roles_with_rights_over_the_cluster_are_refused(cluster: Embedded, admin: Db) -> None:
    admin.execute("create role notify_owner createdb")
    with pytest.raises(MigrationError, match="notify_owner has rights over the whole cluster"):
        migrate(_database(cluster, admin, "shop"))


@pytest.mark.parametrize("owner", ["postgres", "shop"])
def test_many_databases_at_once(cluster: Embedded, admin: Db, owner: str) -> None:
    dsns = [_database(cluster, admin, "one", owner, "createrole")]
    for name in ("two", "three", "four"):
        admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(owner)))
        dsns.append(make_conninfo(cluster.dsn(name), user=owner))
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(migrate, dsns * 2))
    assert sum(bool(report.applied) for report in reports) == 4
    assert all(check(dsn) for dsn in dsns)
    assert set(column(admin, "select rolname from pg_roles where rolname ~ '^notify_'")) == set(ROLES)


def _watch_pauses(monkeypatch: pytest.MonkeyPatch, at_pause: Callable[[], None]) -> None:
    monkeypatch.setattr(migrating, "_GENTLE_TIMEOUT", "10ms")
    monkeypatch.setattr(migrating, "_pause", lambda seconds: at_pause())


def test_upgrade_under_running_processes(
    cluster: Embedded, admin: Db, before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = _database(cluster, admin, "shop")
    migrate(dsn, sql_folder=before)
    pauses: list[dict[str, Any]] = []
    with connect_sync(dsn, name="old") as old, connect_sync(dsn, name="holder", autocommit=False) as holder:
        add_recipients(old, "ada", "bob")
        for _ in range(8):  # prepared by then
            schedule(old, "ada")
        schedule(holder, "bob")

        def look() -> None:
            """While a caller holds its transaction open, old processes and new roles work."""
            schedule(old, "ada")
            pauses.append(drain(old))
            _works(dsn)
            holder.commit()

        _watch_pauses(monkeypatch, look)
        assert migrate(dsn).applied == ("migrations/0002_ring_for_any_role.sql", "functions", "views", "grants")
        assert [drained["sent"] for drained in pauses] == [9]
        assert drain(old)["sent"] == 1
        assert call_one(old, "delete_recipient", id="bob")["delete_recipient"]
        assert column(old, NOT_OURS) == []
    assert check(dsn)
    _works(dsn)


def test_table_that_stays_busy_is_named_and_everything_works_meanwhile(
    cluster: Embedded, admin: Db, before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = _database(cluster, admin, "shop")
    migrate(dsn, sql_folder=before)
    _watch_pauses(monkeypatch, lambda: None)
    with psycopg.connect(dsn) as holder:
        holder.execute("select from notify.batch")
        with pytest.raises(MigrationError, match=r"owner of notify\.batch: .*lock timeout"):
            migrate(dsn)
        assert plan(dsn) == ["grants"]
        _works(dsn)
    assert migrate(dsn).applied == ("grants",)
    assert check(dsn)


def test_old_owner_goes_on_when_a_superuser_upgrades(cluster: Embedded, admin: Db, before: Path) -> None:
    dsn = _database(cluster, admin, "shop", "shop")
    migrate(dsn, sql_folder=before)
    with connect_sync(dsn, name="old") as old:
        add_recipients(old, "ada")
        migrate(cluster.dsn("shop"))
        schedule(old, "ada")
        assert drain(old)["sent"] == 1
        assert value(old, "select count(*) from notify.secret") == 4
    assert check(dsn)
    _works(cluster.dsn("shop"))


def test_what_is_not_granted_any_more_is_taken_back(cluster: Embedded, admin: Db) -> None:
    dsn = _database(cluster, admin, "shop")
    migrate(dsn)
    may: LiteralString = "select has_table_privilege(%s, 'notify.batch', 'select')"
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("create role auditor")
        owner.execute("grant select on notify.batch to notify_app, public, auditor")
        owner.execute("grant execute on function notify.park to notify_app, public")
        owner.execute("delete from notify.migration where name = 'grants'")
        assert migrate(dsn).applied == ("grants",)
        assert [value(owner, may, who) for who in ("notify_app", "public", "auditor")] == [False, False, True]
        may = "select has_function_privilege(%s, 'notify.park(bigint, text)', 'execute')"
        assert [value(owner, may, who) for who in ("notify_app", "public", "notify_worker")] == [False, False, True]


def test_restored_without_its_privileges_it_is_granted_anew(cluster: Embedded, admin: Db) -> None:
    dsn = _database(cluster, admin, "shop")
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as owner:
        for role in ROLES:
            owner.execute(sql.SQL("reassign owned by {} to postgres").format(sql.Identifier(role)))
            owner.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
            owner.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
    assert plan(dsn) == ["grants"]
    assert migrate(dsn).applied == ("grants",)
    assert check(dsn)
    _works(dsn)


def test_what_a_later_version_adds_is_covered(cluster: Embedded, admin: Db, tmp_path: Path) -> None:
    dsn = _database(cluster, admin, "shop", "shop", "createrole")
    migrate(dsn)
    later = tmp_path / "later"
    shutil.copytree(sql_dir(), later)
    (later / "migrations/9999_more.sql").write_text(
        "create table notify.more (id bigint generated always as identity);"
    )
    (later / "functions/more.sql").write_text(
        "create or replace function notify.more() returns int language sql as 'select 1';"
    )
    assert migrate(dsn, sql_folder=later).applied == ("migrations/9999_more.sql", "functions", "views", "grants")
    with psycopg.connect(dsn, autocommit=True) as owner:
        assert column(owner, NOT_OURS) == []
        acls: LiteralString = """
        select relacl::text from pg_class where relname = 'more'
        union all select proacl::text from pg_proc where proname = 'more'
        """
        assert all(set(re.findall(r"[{,](\w*)=", acl)) == {"notify_owner"} for acl in column(owner, acls))
