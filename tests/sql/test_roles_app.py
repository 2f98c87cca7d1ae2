"""A login that may schedule and nothing else: what it can, what it is refused, and that no code is slipped past it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from helpers import logins
from helpers.rows import (
    Db,
    add_recipients,
    call_one,
    column,
    drain,
    heard,
    listen,
    move_clock,
    refused,
    schedule,
    schedule_ids,
    soon,
    statuses,
    stored,
    value,
)
from notify import NotificationScheduler
from notify.postgres.connection import connect_sync


@pytest.fixture
def as_app(dsn: str, db: Db) -> Iterator[Db]:
    """A session of a login in notify_app, in autocommit mode; ada and bob are registered."""
    add_recipients(db, "ada", "bob")
    with connect_sync(logins.dsn_of(dsn, "notify_app"), name="app") as connection:
        yield connection


def test_app_schedules_in_its_own_transaction(as_app: Db, db: Db) -> None:
    listen(db)
    at = soon(as_app)
    with as_app.transaction():
        now, later, gone, last = (
            schedule_ids(as_app, "ada", reference=reference, scheduled_at=when, idempotency_key=reference)[0]
            for reference, when in (("a", None), ("b", at), ("c", at), ("d", at))
        )
        assert call_one(as_app, "cancel", id=gone)["cancelled"]
        assert value(as_app, "select notify.cancel_reference('d')") == 1
        assert call_one(as_app, "reschedule", id=later, scheduled_at=soon(as_app, "2 hours"))["rescheduled"]
        assert value(as_app, "select notify.upsert_recipient('cleo', 'Europe/Berlin')")
        assert value(db, "select count(*) from notify.notification") == 0
    assert statuses(db, [now, later, gone, last]) == ["pending", "pending", "cancelled", "cancelled"]
    # It rang at its commit, by a trigger.
    assert value(db, "select count(*) from notify.wakeup") == 1
    assert value(db, "select count(*) from notify_jobs.procrastinate_jobs where task_name = 'notify.dispatch'") == 1
    assert set(column(db, "select owner from notify.idempotency")) == {"sql:test_app"}
    assert drain(db)["sent"] == 1
    assert len(heard(db, db)) == 1


def test_app_rolls_back(as_app: Db, db: Db) -> None:
    with as_app.transaction(force_rollback=True):
        schedule(as_app, "ada", "dan", unknown_recipients="create", idempotency_key="k")
    assert stored(db) == (0, 0, 0)
    assert value(db, "select count(*) from notify.wakeup") == 0


def test_app_moves_no_clock(as_app: Db) -> None:
    """The setting that fakes the clock is anybody's to set, and counts for those who own everything anyway."""
    move_clock(as_app, "-100 years")
    assert value(as_app, "select abs(extract(epoch from notify.now() - clock_timestamp())) < 60")
    with refused("NT002", "scheduled_at"):
        schedule(as_app, "ada", scheduled_at="2000-01-01Z")


def test_app_moves_what_then_rings(as_app: Db, db: Db) -> None:
    (id,) = schedule_ids(as_app, "ada", scheduled_at=soon(as_app))
    as_app.execute("select notify.reschedule(%s, notify.now() + '20 s')", (id,))
    assert value(db, "select count(*) from notify.wakeup") == 1


def test_app_keeps_the_promise_that_a_commit_is_on_disk(as_app: Db) -> None:
    with as_app.transaction():
        as_app.execute("set local synchronous_commit to off")
        schedule(as_app, "ada")
        assert value(as_app, "show synchronous_commit") == "on"


def test_client_of_an_app(as_app: Db, dsn: str, db: Db) -> None:
    with NotificationScheduler(logins.dsn_of(dsn, "notify_app")) as client:
        client.upsert_recipient("eve", locale="en")
        one, two = client.schedule_notification(["ada", "eve"], "T", "M", soon(db))
        assert client.get_schedule_status(one).scheduled_status == "pending"
        assert client.reschedule(one, soon(db, "2 hours"))
        assert client.send_scheduled_notification(two)
        assert client.get_schedule_status(two).is_sent
        assert client.retry_failed_notification(one) is False
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            client.get_pending_notifications()
        assert client.cancel_scheduled(one)
    with NotificationScheduler(logins.dsn_of(dsn, "notify_app", "notify_api")) as client:
        assert len(client.get_pending_notifications()) == 0


@pytest.fixture(scope="module")
def sessions(shared_dsn: str) -> Iterator[Mapping[str, Db]]:
    """A session of a login in each role; the module's database is not changed, as all that is tried is refused."""
    with ExitStack() as opened:
        yield {
            group: opened.enter_context(connect_sync(logins.dsn_of(shared_dsn, group), name="app"))
            for group in logins.GROUPS
        }


FORBIDDEN: list[LiteralString] = [
    *(
        f"select from notify.{name}"
        for name in ("batch", "recipient", "secret", "api_key", "due", "overdue", "dead_letters")
    ),
    "select from notify_jobs.procrastinate_jobs",
    "select from notify.drain()",
    "select notify.park(1, 'x')",
    "select notify.pick(1, null, '{}', '{}', null)",
    "select notify.delete_recipient('ada')",
    "select notify.idempotency_begin('sql:other', 'k', 'h')",
    "select notify.idempotency_finish('sql:other', 'k', 'h', '{}')",
    "select notify.mark_read('ada', '{1}', null)",
    "select notify.cancel_batches('{1}')",
    "select notify.listen()",
    "select notify.token_key()",
    "select from notify.changed_recipients('[]', true)",
    "insert into notify.api_key values (default, 'k', 'p', sha256('x'), '{admin}', now())",
    "insert into notify.wakeup values (now(), now())",
    "select nextval('notify.batch_id_seq')",
    "create table notify.mine ()",
    "create or replace function notify.now() returns timestamptz language sql as 'select null::timestamptz'",
    "create view pg_temp.peek as select * from notify.secret; select from pg_temp.peek",
    "create temp table t (); create trigger t after insert on t execute function notify.ring_at_commit()",
    "create trigger t after insert on notify.batch execute function notify.ring_at_commit()",
    "set role notify_owner",
    "alter role test_app superuser",
    "grant notify_api to test_app",
]


@pytest.mark.parametrize("statement", FORBIDDEN, ids=lambda given: given[:60])
def test_app_is_refused(sessions: Mapping[str, Db], statement: LiteralString) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sessions["notify_app"].execute(statement)


@pytest.mark.parametrize("group", ["notify_api", "notify_worker"])
@pytest.mark.parametrize(
    "statement",
    [
        "insert into notify.api_key values (default, 'k', 'p', sha256('x'), '{admin}', now())",
        "select name from notify.api_key",
        "select value from notify.secret",
        "update notify.notification set due_at = due_at",
        "delete from notify.recipient",
        "set role notify_owner",
    ],
    ids=lambda given: given[:40],
)
def test_service_writes_by_doors_alone(sessions: Mapping[str, Db], group: str, statement: LiteralString) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sessions[group].execute(statement)


# Each notes who runs it; in a search path before pg_catalog it takes the place of what the bodies of functions mean.
TRAPS: LiteralString = """
create table evil.seen (who text, what text);
grant usage on schema evil to public; grant all on evil.seen to public;
create function evil.note(what text) returns void language sql as 'insert into evil.seen values (current_user, what)';
create function evil.clock_timestamp() returns timestamptz language sql as 'select evil.note(''clock''); select now()';
create function evil.set_config(text, text, bool) returns text language sql as 'select evil.note(''set''); select $2';
create function evil.cardinality(anyarray) returns int language sql as 'select evil.note(''cardinality''); select 1';
create function evil.char_length(text) returns int language sql as 'select evil.note(''length''); select 3';
create function evil.octet_length(text) returns int language sql as 'select evil.note(''octets''); select 3';
create function evil.same(text, text) returns bool language sql as 'select evil.note(''same''); select true';
create operator evil.= (leftarg = text, rightarg = text, function = evil.same);
create table evil.notification (id bigint); create domain evil.text as pg_catalog.text;
"""
BAIT: LiteralString = """
create function evil.open_door(id text) returns boolean language plpgsql security definer as
  $$ begin return clock_timestamp() is not null and char_length(id) = 3 and id = 'ada'; end $$;
alter function evil.open_door(text) owner to notify_owner;
"""


@pytest.fixture
def trapped(as_app: Db, db: Db) -> Db:
    """The app's session with a schema of its own before all others, in its path and as its temporary one."""
    db.execute("drop schema if exists evil cascade; create schema evil")
    db.execute("grant create on schema evil to notify_owner")
    db.execute(BAIT)
    db.execute("alter schema evil owner to test_app")
    as_app.execute(TRAPS)
    as_app.execute("create temp table notification (id bigint); create temp table secret (name text, value text)")
    as_app.execute(
        "create function pg_temp.clock_timestamp() returns timestamptz language sql as 'select null::timestamptz'"
    )
    as_app.execute("set search_path = evil, pg_temp, pg_catalog")
    return as_app


def _seen(db: Db) -> set[tuple[Any, ...]]:
    return set(db.execute("select who, what from evil.seen where who = 'notify_owner'").fetchall())


def test_the_traps_catch_a_function_without_a_pinned_path(trapped: Db, db: Db) -> None:
    trapped.execute("select evil.open_door('ada')")
    assert {what for _, what in _seen(db)} >= {"clock", "length"}


def test_app_cannot_slip_code_of_its_own_into_a_door(trapped: Db, db: Db) -> None:
    with trapped.transaction():
        (id,) = schedule_ids(trapped, "ada", idempotency_key="k", reference="r")
        trapped.execute('select notify.upsert_recipients(\'[{"id": "eve", "locale": "en"}]\', true)')
        trapped.execute("select notify.upsert_recipient('eve', 'Europe/Berlin')")
        trapped.execute("select notify.reschedule(%s, pg_catalog.now() + '1 hour')", (id,))
        for call in ("send(%s, false)", "send(%s)", "retry(%s)", "cancel(%s)", "schedule_status(%s)"):
            trapped.execute(sql.SQL("select notify." + call), (id,))
        trapped.execute("select notify.cancel_reference('r')")
    assert _seen(db) == set()
    assert value(db, "select status::text from notify.notification") == "sent"


def test_trigger_at_commit_is_not_caught_either(trapped: Db, db: Db) -> None:
    schedule(trapped, "bob")
    assert _seen(db) == set()
    assert value(db, "select count(*) from notify.wakeup") == 1
