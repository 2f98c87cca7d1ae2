"""The schema as a whole: equal to schema.sql, which `just schema` renews, and explained in the database itself."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg

from helpers.rows import Db, column
from helpers.schema import dump
from notify.postgres.embedded import Embedded
from notify.postgres.migrate import migrate

GOLDEN = Path(__file__).with_name("schema.sql")

UNEXPLAINED = """
with things as (
  select c.oid::regclass::text as name, obj_description(c.oid, 'pg_class') as comment
  from pg_class c where c.relnamespace = 'notify'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
    and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')  -- not of an identity column
  union all
  select c.oid::regclass || '.' || a.attname, col_description(c.oid, a.attnum)
  from pg_class c join pg_attribute a on a.attrelid = c.oid
  where c.relnamespace = 'notify'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
    and a.attnum > 0 and not a.attisdropped
  union all
  select p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc')
  from pg_proc p where p.pronamespace = 'notify'::regnamespace
  union all
  select t.oid::regtype::text, obj_description(t.oid, 'pg_type')
  from pg_type t where t.typnamespace = 'notify'::regnamespace and t.typtype in ('e', 'd')
  union all
  select 'schema ' || n.nspname, obj_description(n.oid, 'pg_namespace') from pg_namespace n
  where n.nspname like 'notify%'
)
select name from things where coalesce(comment, '') = '' order by name
"""


def test_golden(server: Embedded, dsn: str) -> None:
    found = dump(server.bin_dir, dsn)
    if os.environ.get("RENEW_SCHEMA"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text(), "the schema changed: if that was meant, `just schema` writes schema.sql anew"


def test_functions_and_views_applied_again_change_nothing(server: Embedded, dsn: str) -> None:
    before = dump(server.bin_dir, dsn)
    with psycopg.connect(dsn) as conn:
        conn.execute("delete from notify.migration where name in ('functions', 'views', 'grants')")
    assert migrate(dsn).applied == ("functions", "views", "grants")
    assert dump(server.bin_dir, dsn) == before


def test_everything_has_a_comment(tx: Db) -> None:
    assert column(tx, UNEXPLAINED) == []


def test_the_views_can_be_read(tx: Db) -> None:
    views = column(tx, "select viewname from pg_views where schemaname = 'notify' order by 1")
    assert views == [
        *("channels", "dead_letters", "delivery_counts", "disabled_addresses", "due", "lateness", "overdue"),
        *("status_counts", "stuck"),
    ]
    for view in views:
        tx.execute(f"select * from notify.{view}".encode())


def test_foreign_keys_have_an_index_to_delete_by(tx: Db) -> None:
    lacking = """
    select k.conname from pg_constraint k
    where k.contype = 'f' and k.connamespace = 'notify'::regnamespace and not exists (
      select from pg_index i where i.indrelid = k.conrelid and i.indpred is null and i.indkey[0] = k.conkey[1])
    """
    # Channels are few and never deleted while deliveries refer to them.
    assert sorted(column(tx, lacking)) == ["delivery_channel_fkey", "endpoint_channel_fkey"]
