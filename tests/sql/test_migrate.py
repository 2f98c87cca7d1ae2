"""Migrations: fresh databases, many runs at once, changed files, newer versions, busy tables."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from notify.errors import MigrationError
from notify.postgres import migrate as migrating
from notify.postgres import steps
from notify.postgres.migrate import Report, check, migrate, plan
from notify.postgres.queries import sql_dir

NEWEST = "03.04.00_50_post_add_retry_failed_job_procedure.sql"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small sql folder: two migrations, a function and a view."""
    for name in ("bootstrap.sql", "jobs.sql"):
        shutil.copy(sql_dir() / name, tmp_path)
    for name in ("migrations", "functions", "views"):
        (tmp_path / name).mkdir()
    _write(tmp_path, "migrations/0001_a.sql", "create table notify.a (n int);")
    _write(
        tmp_path,
        "migrations/0002_b.sql",
        "alter table notify.a add m int; insert into notify.a values (1, 2);",
    )
    _write(
        tmp_path,
        "functions/f.sql",
        "create or replace function notify.f() returns int language sql as 'select max(n) from notify.v';",
    )
    _write(tmp_path, "views/v.sql", "create or replace view notify.v as select n from notify.a;")
    return tmp_path


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def _all(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        return conn.execute(statement.encode()).fetchall()  # bytes: tests pass plain literals only


def test_fresh_database_gets_everything_in_order(bare_dsn: str, folder: Path) -> None:
    expected = plan(bare_dsn, sql_folder=folder)
    assert not check(bare_dsn, sql_folder=folder)
    assert _all(bare_dsn, "select to_regnamespace('notify')") == [(None,)]
    report = migrate(bare_dsn, sql_folder=folder)
    assert list(report.applied) == expected
    assert expected[0].startswith("procrastinate/")
    assert expected[-5:] == ["migrations/0001_a.sql", "migrations/0002_b.sql", "jobs", "functions", "views"]
    assert report.unknown == ()
    assert check(bare_dsn, sql_folder=folder)
    assert plan(bare_dsn, sql_folder=folder) == []
    assert _all(bare_dsn, "select notify.f()") == [(1,)]
    assert _all(bare_dsn, "select count(*) from notify_jobs.procrastinate_jobs") == [(0,)]


def test_second_run_does_nothing(bare_dsn: str, folder: Path) -> None:
    migrate(bare_dsn, sql_folder=folder)
    before = _all(bare_dsn, "select * from notify.migration order by name")
    assert migrate(bare_dsn, sql_folder=folder) == Report(applied=(), unknown=())
    assert _all(bare_dsn, "select * from notify.migration order by name") == before


def test_twenty_runs_at_once_are_one(bare_dsn: str, folder: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        reports = list(pool.map(lambda _: migrate(bare_dsn, sql_folder=folder), range(20)))
    assert sum(bool(report.applied) for report in reports) == 1
    assert _all(bare_dsn, "select count(*) from notify.a") == [(1,)]


def test_new_migration_alone_is_applied_and_functions_and_views_again(bare_dsn: str, folder: Path) -> None:
    migrate(bare_dsn, sql_folder=folder)
    _write(folder, "migrations/0003_c.sql", "drop view notify.v; alter table notify.a alter n type bigint;")
    applied = migrate(bare_dsn, sql_folder=folder).applied
    assert applied == ("migrations/0003_c.sql", "functions", "views")
    assert _all(bare_dsn, "select pg_typeof(n)::text from notify.v") == [("bigint",)]


def test_changed_file_is_refused_and_nothing_is_done(bare_dsn: str, folder: Path) -> None:
    migrate(bare_dsn, sql_folder=folder)
    _write(folder, "migrations/0001_a.sql", "create table notify.a (n bigint);")
    _write(folder, "migrations/0003_c.sql", "create table notify.c ();")
    for refusing in (migrate, plan):
        with pytest.raises(MigrationError, match=r"0001_a\.sql was changed"):
            refusing(bare_dsn, sql_folder=folder)
    assert not check(bare_dsn, sql_folder=folder)
    assert _all(bare_dsn, "select to_regclass('notify.c')") == [(None,)]


def test_changed_view_keeps_its_grants(bare_dsn: str, folder: Path) -> None:
    migrate(bare_dsn, sql_folder=folder)
    with psycopg.connect(bare_dsn) as conn:
        conn.execute("grant select on notify.v to pg_monitor")
    _write(folder, "views/v.sql", "create or replace view notify.v as select n, m from notify.a;")
    assert migrate(bare_dsn, sql_folder=folder).applied == ("views",)
    assert _all(bare_dsn, "select has_table_privilege('pg_monitor', 'notify.v', 'select')") == [(True,)]


def test_view_whose_columns_changed_is_made_anew(bare_dsn: str, folder: Path) -> None:
    migrate(bare_dsn, sql_folder=folder)
    _write(folder, "views/v.sql", "create or replace view notify.v as select m from notify.a;")
    _write(folder, "views/w.sql", "create or replace view notify.w as select m as k from notify.v;")
    assert migrate(bare_dsn, sql_folder=folder).applied == ("views",)
    assert _all(bare_dsn, "select k from notify.w") == [(2,)]


def test_failed_step_is_undone_and_later_continued(bare_dsn: str, folder: Path) -> None:
    _write(folder, "migrations/0003_c.sql", "create table notify.c (); select 1 / 0;")
    with pytest.raises(MigrationError, match=r"migrations/0003_c\.sql: division by zero"):
        migrate(bare_dsn, sql_folder=folder)
    left = ["migrations/0003_c.sql", "jobs", "functions", "views"]
    assert plan(bare_dsn, sql_folder=folder) == left
    _write(folder, "migrations/0003_c.sql", "create table notify.c ();")
    assert list(migrate(bare_dsn, sql_folder=folder).applied) == left


def test_newer_database_is_left_alone_and_reported(bare_dsn: str, folder: Path) -> None:
    _write(folder, "migrations/0003_c.sql", "create table notify.c ();")
    migrate(bare_dsn, sql_folder=folder)
    (folder / "migrations/0003_c.sql").unlink()
    _write(folder, "views/v.sql", "create or replace view notify.v as select n, 'older' as age from notify.a;")
    assert migrate(bare_dsn, sql_folder=folder) == Report(applied=(), unknown=("migrations/0003_c.sql",))
    assert not check(bare_dsn, sql_folder=folder)


def test_new_files_of_procrastinate_are_applied_one_by_one(bare_dsn: str, folder: Path) -> None:
    migrate(bare_dsn, sql_folder=folder)
    last = f"procrastinate/{NEWEST}"
    with psycopg.connect(bare_dsn) as conn:
        conn.execute("delete from notify.migration where name = %s", (last,))
    assert migrate(bare_dsn, sql_folder=folder).applied == (last,)


UNPINNED = """
select p.proname from pg_proc p where p.pronamespace = 'notify_jobs'::regnamespace
and p.proconfig is distinct from array['search_path=notify_jobs, pg_catalog, pg_temp']
"""


def test_functions_of_procrastinate_find_their_tables_also_after_an_upgrade(
    bare_dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = [item for item in steps.packaged_migrations() if item.name != NEWEST]
    monkeypatch.setattr(steps, "packaged_migrations", lambda: older)
    migrate(bare_dsn, sql_folder=folder)
    assert _all(bare_dsn, UNPINNED) == []
    monkeypatch.undo()
    assert migrate(bare_dsn, sql_folder=folder).applied == (f"procrastinate/{NEWEST}", "jobs")
    assert _all(bare_dsn, UNPINNED) == []


def test_jobs_can_be_changed_and_deleted_by_hand(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("select notify.upsert_recipient('ada')")
        conn.execute("select notify.schedule('{ada}', 'x', 'y')")
        assert conn.execute("update notify_jobs.procrastinate_jobs set status = 'cancelled'").rowcount == 1
        assert conn.execute("delete from notify_jobs.procrastinate_jobs").rowcount == 1


def test_busy_table_is_tried_again(bare_dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(bare_dsn, sql_folder=folder)
    monkeypatch.setattr(migrating, "_LOCK_TIMEOUT", "10ms")
    _write(folder, "migrations/0003_c.sql", "alter table notify.a add k int;")
    with psycopg.connect(bare_dsn) as other:
        other.execute("select * from notify.a")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            other.commit()

        monkeypatch.setattr(migrating, "_pause", pause)
        assert "migrations/0003_c.sql" in migrate(bare_dsn, sql_folder=folder).applied
    assert len(pauses) == 1


def test_table_busy_for_good_is_named(bare_dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(bare_dsn, sql_folder=folder)
    monkeypatch.setattr(migrating, "_LOCK_TIMEOUT", "10ms")
    monkeypatch.setattr(migrating, "_pause", lambda seconds: None)
    _write(folder, "migrations/0003_c.sql", "alter table notify.a add k int;")
    with psycopg.connect(bare_dsn) as other:
        other.execute("select * from notify.a")
        with pytest.raises(MigrationError, match=r"0003_c\.sql: .*lock timeout"):
            migrate(bare_dsn, sql_folder=folder)


def test_unqualified_name_does_not_land_in_public(bare_dsn: str, folder: Path) -> None:
    _write(folder, "migrations/0003_c.sql", "create table stray ();")
    with pytest.raises(MigrationError, match="pg_catalog"):
        migrate(bare_dsn, sql_folder=folder)


def test_own_schema_is_complete(dsn: str) -> None:
    assert check(dsn)
