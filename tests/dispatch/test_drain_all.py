"""drain_all(): everything that can be sent is, whatever is locked, faulty or full; and what it says of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from conftest import Connect
from helpers import logins
from helpers.rows import (
    Db,
    call_one,
    column,
    drain,
    heard,
    listen,
    mailbox,
    move_clock,
    one,
    schedule,
    schedule_ids,
    soon,
    statuses,
    value,
)
from helpers.wait import until
from notify import dispatch, faults
from notify.dispatch import drain_all
from notify.drain import Drained, Pass, drain_anyway
from notify.errors import NotifyError
from notify.faults import Quarantine

Conn = AsyncConnection[Any]
Spoil = Callable[..., None]


async def _all(conn: Conn, quarantine: Quarantine | None = None, **options: Any) -> Pass:
    async with asyncio.timeout(20):
        return await drain_all(conn, quarantine or Quarantine(), **({"max_rows": 1000} | options))


def _later(quarantine: Quarantine) -> Quarantine:
    """As it is when those in it have been left alone for long enough."""
    for held in quarantine._held.values():
        held.until -= faults._QUARANTINE_SECONDS + 1
    return quarantine


async def test_chunk_after_chunk_until_nothing_is_left(conn: Conn, db: Db) -> None:
    for _ in range(5):
        schedule(db, "ada", "bob")
    schedule(db, "ada", scheduled_at=soon(db, "1 minute"))
    done = await _all(conn, max_rows=3)
    assert (done.sent, done.moved, done.complete, done.signal) == (10, 10, True, True)
    assert done.next_due_in is not None
    assert 58 < done.next_due_in <= 60
    assert (await _all(conn)).moved == 0


async def test_a_faulty_row_is_parked_and_all_others_are_sent(conn: Conn, db: Db, spoil: Spoil) -> None:
    ids = [id for _ in range(50) for id in schedule_ids(db, "ada", "bob")]
    spoil(ids[30])
    quarantine = Quarantine()
    done = await _all(conn, quarantine)
    assert (done.sent, done.parked, done.complete) == (99, 0, False)
    done = await _all(conn, _later(quarantine))
    assert (done.sent, done.parked, done.complete) == (0, 1, False)
    assert (await _all(conn, quarantine)).complete
    row = one(db, "select status::text, failure_reason from notify.notification where id = %s", ids[30])
    assert row == {"status": "failed", "failure_reason": f"spoilt {ids[30]}"}
    assert value(db, "select last_value from notify.tries") < 20
    assert (mailbox(db, "ada"), mailbox(db, "bob")) == ((49, 49, 0, 0), (50, 50, 0, 0))
    in_order = "select array_agg(id order by seq) = array_agg(id order by id) from notify.notification where seq > 0"
    assert value(db, in_order + " and recipient = 'bob'") is True


async def test_a_fault_that_passes_parks_nobody(conn: Conn, db: Db, spoil: Spoil) -> None:
    ids = [id for _ in range(5) for id in schedule_ids(db, "ada", "bob")]
    spoil(ids[3])
    quarantine = Quarantine()
    assert (await _all(conn, quarantine)).sent == 9
    db.execute("drop trigger spoil on notify.notification")
    done = await _all(conn, _later(quarantine))
    assert (done.sent, done.parked, done.complete) == (1, 0, True)
    assert set(statuses(db, ids)) == {"sent"}


async def test_faulty_rows_in_many_chunks(conn: Conn, db: Db, spoil: Spoil) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(30)]
    spoil(*ids[::7])
    quarantine = Quarantine()
    passes = [await _all(conn, quarantine, max_rows=4) for _ in range(6)]
    assert sum(done.sent for done in passes) == 25
    passes = [await _all(conn, _later(quarantine), max_rows=4) for _ in range(6)]
    assert sum(done.parked for done in passes) == 5
    assert statuses(db, ids[::7]) == ["failed"] * 5


async def test_what_cannot_even_be_parked_is_left_alone(conn: Conn, db: Db, spoil: Spoil) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(10)]
    spoil(ids[4], statuses=("sent", "failed"))
    quarantine = Quarantine()
    done = await _all(conn, quarantine)
    assert (done.sent, done.parked, done.complete) == (9, 0, False)
    tries = value(db, "select last_value from notify.tries")
    (more,) = schedule_ids(db, "ada")
    assert (await _all(conn, quarantine)).sent == 1
    assert statuses(db, [ids[4], more]) == ["pending", "sent"]
    assert value(db, "select last_value from notify.tries") == tries
    db.execute("drop trigger spoil on notify.notification")
    assert (await _all(conn)).sent == 1


async def test_quarantine_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    quarantine = Quarantine()
    quarantine.add(1, others_went=False)
    assert quarantine.ids() == [1]
    monkeypatch.setattr(faults, "_QUARANTINE_SECONDS", -1.0)
    quarantine.add(2, others_went=False)
    assert quarantine.ids() == [1]


async def test_a_full_quarantine_ends_the_pass(
    conn: Conn, db: Db, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(10)]
    spoil(*ids[:6], statuses=("sent", "failed"))
    monkeypatch.setattr(faults, "_MOST_QUARANTINED", 3)
    done = await _all(conn)
    assert (done.sent, done.complete) == (4, False)


def _fill_queue(db: Db) -> None:
    """Let signals fail as NOTIFY does when its queue is full."""
    db.execute(
        "create or replace function notify.send_signals(p_lines text[], p_sent_at timestamptz) returns integer"
        " language plpgsql as $$ begin raise exception using errcode = '54000', message = 'too many'; end $$"
    )


async def test_a_full_notify_queue_stops_the_signals_and_nothing_else(conn: Conn, db: Db) -> None:
    for _ in range(5):
        schedule(db, "ada")
    _fill_queue(db)
    done = await _all(conn, max_rows=2)
    assert (done.sent, done.parked, done.complete, done.signal) == (5, 0, True, False)


async def test_a_full_notify_queue_makes_no_row_faulty(conn: Conn, db: Db, spoil: Spoil) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(8)]
    spoil(ids[3])
    _fill_queue(db)
    quarantine = Quarantine()
    assert (await _all(conn, quarantine)).sent == 7
    assert (await _all(conn, _later(quarantine))).parked == 1
    assert statuses(db, ids[3:5]) == ["failed", "sent"]


async def test_signals_come_again_with_the_next_pass(conn: Conn, db: Db, connect: Connect) -> None:
    listener = connect(name="listener")
    listen(listener)
    schedule(db, "ada")
    assert (await _all(conn)).sent == 1
    assert len(heard(listener, db)) == 1


async def test_a_locked_mailbox_holds_up_nobody_else(conn: Conn, db: Db, holder: Db) -> None:
    names = [str(n) for n in range(5000)]
    schedule(db, *names, unknown_recipients="create")
    ids = [schedule_ids(db, "ada")[0] for _ in range(3)]
    holder.execute("select from notify.mailbox where recipient in ('ada', '42') for update")
    done = await _all(conn)
    assert (done.sent, done.complete) == (4999, False)
    assert statuses(db, ids) == ["pending"] * 3
    holder.commit()
    done = await _all(conn)
    assert (done.sent, done.complete) == (4, True)


async def test_a_locked_row_is_left_and_told(conn: Conn, db: Db, holder: Db) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(3)]
    holder.execute("select from notify.notification where id = %s for update", (ids[1],))
    done = await _all(conn)
    assert (done.sent, done.complete) == (2, False)
    holder.commit()
    assert (await _all(conn)).complete


async def test_what_was_locked_when_its_chunk_went_is_sent_by_the_same_pass(
    conn: Conn, db: Db, connect: Connect
) -> None:
    """Chunks go on where the one before ended; what stayed behind is looked for at the end."""
    ids = [schedule_ids(db, "ada")[0] for _ in range(3)]
    db.execute(
        "create function notify.halt() returns trigger language plpgsql as "
        "$$ begin perform pg_advisory_xact_lock(7); return null; end $$;"
        "create trigger halt after update on notify.notification for each row execute function notify.halt()"
    )
    holder, gate = connect(autocommit=False), connect(autocommit=False)
    holder.execute("select from notify.notification where id = %s for update", (ids[0],))
    gate.execute("select pg_advisory_xact_lock(7)")
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(_all(conn, max_rows=1))
        waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        await asyncio.to_thread(until, lambda: value(db, waiting))
        holder.rollback()
        gate.rollback()
    assert (draining.result().sent, draining.result().complete) == (3, True)
    assert column(db, "select id from notify.notification order by seq") == [ids[1], ids[2], ids[0]]


async def test_a_long_pass_looks_back_now_and_then(conn: Conn, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_LOOK_BACK_SECONDS", 0.0)
    looked: list[list[int]] = []

    async def drain_noting(*args: Any, **options: Any) -> Drained:
        looked.append(options["after"])
        return await drain_anyway(*args, **options)

    monkeypatch.setattr(dispatch, "drain_anyway", drain_noting)
    for _ in range(3):
        schedule(db, "ada")
    assert (await _all(conn, max_rows=1)).sent == 3
    assert looked == [[]] * 4


async def test_a_faulty_row_behind_a_chunk_of_locked_ones(conn: Conn, db: Db, holder: Db, spoil: Spoil) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(10)]
    spoil(ids[7])
    holder.execute("select from notify.notification where id = any (%s) for update", (ids[:6],))
    quarantine = Quarantine()
    done = await _all(conn, quarantine, max_rows=4)
    assert (done.sent, done.complete) == (3, False)
    assert quarantine.ids() == [ids[7]]


async def test_a_faulty_row_that_a_late_ring_told_of(conn: Conn, db: Db, connect: Connect, spoil: Spoil) -> None:
    caller = connect(autocommit=False)
    ids = schedule_ids(caller, "ada", "bob")
    move_clock(caller, "1 minute")
    caller.commit()
    spoil(ids[0])
    await conn.execute("select set_config('notify.clock_offset', '1 minute', false)")
    done = await _all(conn, due_from=soon(db, "58 seconds"))
    assert (done.sent, done.complete) == (1, False)


async def test_a_late_commit_of_many_chunks(conn: Conn, db: Db, connect: Connect) -> None:
    caller = connect(autocommit=False)
    for _ in range(5):
        schedule(caller, "ada", "bob")
    move_clock(caller, "1 minute")
    caller.commit()
    await conn.execute("select set_config('notify.clock_offset', '1 minute', false)")
    done = await _all(conn, due_from=soon(db, "58 seconds"), max_rows=3)
    assert (done.sent, done.complete) == (10, True)


async def test_where_nothing_goes_out_nothing_is_parked(conn: Conn, db: Db, spoil: Spoil) -> None:
    ids = [id for _ in range(4) for id in schedule_ids(db, "ada", "bob")]
    spoil(*ids)
    quarantine = Quarantine()
    done = await _all(conn, quarantine)
    assert (done.moved, done.complete) == (0, False)
    assert set(statuses(db, ids)) == {"pending"}
    assert quarantine.ids() == ids
    tries = value(db, "select last_value from notify.tries")
    (healthy,) = schedule_ids(db, "ada")
    assert (await _all(conn, quarantine)).sent == 1
    assert value(db, "select last_value from notify.tries") == tries
    # Later it is known whose fault it is: something else went out after they failed.
    assert (await _all(conn, _later(quarantine))).parked == 8
    assert statuses(db, [healthy, *ids]) == ["sent", *["failed"] * 8]


async def test_a_fault_of_everything_is_not_tried_row_by_row(
    conn: Conn, db: Db, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(64)]
    spoil(*ids)
    monkeypatch.setattr(faults, "_MOST_FAULTS", 4)
    quarantine = Quarantine()
    assert not (await _all(conn, quarantine)).complete
    assert quarantine.ids() == ids[:4]
    assert value(db, "select last_value from notify.tries") < 12


async def test_faulty_urgent_ones_that_keep_coming_hold_up_nobody_else(conn: Conn, db: Db, spoil: Spoil) -> None:
    others = [schedule_ids(db, "ada")[0] for _ in range(20)]
    bad = schedule_ids(db, "bob", priority="urgent")
    spoil(*bad)
    assert (await _all(conn)).sent == 20
    assert statuses(db, [*others, *bad]) == ["sent"] * 20 + ["pending"]


async def test_urgent_ones_in_every_chunk_hold_up_nobody_else(conn: Conn, db: Db) -> None:
    others = [schedule_ids(db, "ada")[0] for _ in range(20)]
    for _ in range(10):
        schedule_ids(db, "bob", priority="urgent")
        assert drain(db, p_max=20)["sent"] == 3
    assert statuses(db, others) == ["sent"] * 20


async def test_many_faulty_rows_ahead_of_a_good_one(conn: Conn, db: Db, spoil: Spoil) -> None:
    bad = [id for _ in range(150) for id in schedule_ids(db, "ada", "bob", priority="urgent")]
    (good,) = schedule_ids(db, "ada")
    spoil(*bad)
    quarantine = Quarantine()
    passes = [await _all(conn, quarantine) for _ in range(5)]
    assert [done.sent for done in passes] == [0, 0, 0, 1, 0]
    assert statuses(db, [good]) == ["sent"]
    assert passes[-1].parked == 0
    assert len(quarantine.ids()) == 300


async def test_a_full_quarantine_sets_nobody_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_MOST_QUARANTINED", 2)
    quarantine = Quarantine()
    for id in (1, 2, 3):
        quarantine.add(id, others_went=False)
    assert quarantine.ids() == [1, 2]


async def test_without_the_channels_name_it_sends_without_signals(conn: Conn, db: Db) -> None:
    ids = schedule_ids(db, "ada", "bob")
    db.execute("delete from notify.secret where name = 'signal_channel'")
    done = await _all(conn)
    assert (done.sent, done.parked, done.signal) == (2, 0, False)
    assert statuses(db, ids) == ["sent", "sent"]


async def test_thousands_of_locked_mailboxes_hold_up_nobody_else(conn: Conn, db: Db, holder: Db) -> None:
    schedule(db, *(str(n) for n in range(2500)), unknown_recipients="create")
    (free,) = schedule_ids(db, "ada")
    holder.execute("select from notify.mailbox where recipient <> 'ada' for update")
    done = await _all(conn)
    assert (done.sent, done.complete) == (1, False)
    assert statuses(db, [free]) == ["sent"]


async def test_others_draining_is_told(conn: Conn, db: Db, connect: Connect) -> None:
    for _ in range(2):
        drain(connect(autocommit=False))
    schedule(db, "ada")
    done = await _all(conn, due_from=soon(db, "-1 minute"))
    assert (done.sent, done.complete, done.crowded) == (0, False, True)


async def test_a_look_from_the_beginning_has_a_place_of_its_own(conn: Conn, db: Db, connect: Connect) -> None:
    for _ in range(2):
        drain(connect(autocommit=False), p_due_from=soon(db, "-1 minute"))
    (id,) = schedule_ids(db, "ada")
    assert (await _all(conn)).sent == 1
    assert statuses(db, [id]) == ["sent"]


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "53200", "57014"])
async def test_what_is_no_rows_fault_is_raised_and_nothing_parked(conn: Conn, db: Db, spoil: Spoil, code: str) -> None:
    (id,) = schedule_ids(db, "ada")
    spoil(id, code=code)
    with pytest.raises((psycopg.Error, NotifyError)):
        await _all(conn)
    assert statuses(db, [id]) == ["pending"]
    assert call_one(db, "cancel", id=id)["cancelled"]


@pytest.mark.parametrize("code", ["42501", "42P01", "55000", "XX001"])
async def test_one_row_may_fail_in_any_way(conn: Conn, db: Db, spoil: Spoil, code: str) -> None:
    ids = [id for _ in range(5) for id in schedule_ids(db, "ada", "bob")]
    spoil(ids[3], code=code)
    quarantine = Quarantine()
    assert (await _all(conn, quarantine)).sent == 9
    assert quarantine.ids() == [ids[3]]


async def test_places_held_by_who_may_not_drain_do_not_count(conn: Conn, db: Db, dsn: str) -> None:
    """Anybody who may connect may take an advisory lock."""
    (id,) = schedule_ids(db, "ada")
    with psycopg.connect(logins.dsn_of(dsn, "notify_app"), autocommit=True) as stranger:
        held = [value(stranger, "select pg_try_advisory_lock(5477, %s)", place) for place in (1, 2, 3)]
        assert held == [True] * 3
        done = await _all(conn, due_from=soon(db, "-1 minute"))
        assert (done.sent, done.crowded) == (1, False)
        schedule(db, "ada")
        assert (await _all(conn)).sent == 1
    assert statuses(db, [id]) == ["sent"]


async def test_a_lost_connection_is_raised(conn: Conn, db: Db) -> None:
    schedule(db, "ada")
    db.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        await _all(conn)


async def test_expired_and_outside_ones_are_counted(conn: Conn, db: Db) -> None:
    db.execute("insert into notify.channel values ('carrier', 'for tests')")
    schedule(db, "ada", channels=["carrier"])
    schedule(db, "ada", scheduled_at=soon(db, "1 minute"), expires_at=soon(db, "2 minutes"))
    await conn.execute("select set_config('notify.clock_offset', '5 minutes', false)")
    done = await _all(conn)
    assert (done.sent, done.sending, done.expired, done.moved) == (0, 1, 1, 2)
