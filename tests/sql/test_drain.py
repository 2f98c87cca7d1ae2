"""notify.drain(): numbering and order, recipients and channels, expiry, quarantine, and what it reports."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby

import pytest

from helpers.rows import Db, call_one, column, drain, mailbox, rows, schedule, schedule_ids, soon, statuses, value


@pytest.fixture
def carrier(tx: Db) -> str:
    """An outside channel."""
    tx.execute("insert into notify.channel values ('carrier', 'for tests'), ('pigeon', 'for tests')")
    return "carrier"


def _at(tx: Db, offset: str) -> None:
    tx.execute("select set_config('notify.clock_offset', %s, true)", (offset,))


def _stream(tx: Db, recipient: str) -> list[int]:
    return column(tx, "select id from notify.notification where recipient = %s and seq > 0 order by seq", recipient)


def test_sent_by_priority_then_due_time_then_id(tx: Db) -> None:
    due = {
        (priority, minutes): schedule_ids(tx, "ada", priority=priority, scheduled_at=soon(tx, f"{minutes} minutes"))[0]
        for priority, minutes in [("low", 1), ("urgent", 3), ("normal", 2), ("high", 5), ("urgent", 2), ("normal", 1)]
    }
    at = soon(tx, "4 minutes")
    twins = [schedule_ids(tx, "ada", priority="high", scheduled_at=at)[0] for _ in range(2)]
    _at(tx, "10 minutes")
    done = drain(tx)
    assert (done["picked"], done["sent"], done["sending"], done["expired"]) == (8, 8, 0, 0)
    order = [
        due["urgent", 2],
        due["urgent", 3],
        *twins,
        due["high", 5],
        due["normal", 1],
        due["normal", 2],
        due["low", 1],
    ]
    assert _stream(tx, "ada") == order
    assert column(tx, "select seq from notify.notification order by seq") == list(range(1, 9))
    assert mailbox(tx, "ada") == (8, 8, 0, 0)


def test_each_recipient_has_its_own_numbers_over_many_chunks(tx: Db) -> None:
    for _ in range(5):
        schedule(tx, "ada", "bob")
    schedule(tx, "bob")
    while drain(tx, p_max=3)["picked"]:
        pass
    found = rows(tx, "select recipient, seq, id from notify.notification order by recipient, seq")
    streams = {name: list(group) for name, group in groupby(found, lambda row: row["recipient"])}
    assert [row["seq"] for row in streams["ada"]] == [1, 2, 3, 4, 5]
    assert [row["seq"] for row in streams["bob"]] == [1, 2, 3, 4, 5, 6]
    assert all(sorted(row["id"] for row in stream) == [row["id"] for row in stream] for stream in streams.values())
    assert (mailbox(tx, "ada"), mailbox(tx, "bob")) == ((5, 5, 0, 0), (6, 6, 0, 0))


def test_nothing_leaves_before_its_time(tx: Db) -> None:
    schedule(tx, "ada", scheduled_at=soon(tx, "1 minute"))
    done = drain(tx)
    assert done["picked"] == 0
    assert 58 < done["next_due_in"] <= 60
    _at(tx, "59 s")
    assert drain(tx)["picked"] == 0
    _at(tx, "61 s")
    assert drain(tx)["sent"] == 1


def test_next_due_is_the_earliest_of_any_priority(tx: Db) -> None:
    assert drain(tx)["next_due_in"] is None
    schedule(tx, "ada", scheduled_at=soon(tx, "1 hour"), priority="urgent")
    schedule(tx, "ada", scheduled_at=soon(tx, "1 minute"), priority="low")
    schedule(tx, "ada", scheduled_at=soon(tx, "1 day"), priority="normal")
    assert 58 < drain(tx)["next_due_in"] <= 60


def test_the_low_water_mark_bounds_the_look(tx: Db) -> None:
    (early,) = schedule_ids(tx, "ada")
    mark = soon(tx, "1 second")
    _at(tx, "2 s")
    (late,) = schedule_ids(tx, "ada")
    tx.execute("delete from notify.wakeup")
    assert drain(tx, p_due_from=mark)["sent"] == 1
    assert statuses(tx, [early, late]) == ["pending", "sent"]
    assert drain(tx)["sent"] == 1


def test_expired_is_cancelled_and_not_numbered(tx: Db) -> None:
    at = soon(tx, "1 minute")
    gone = schedule_ids(tx, "ada", "bob", scheduled_at=at, expires_at=at + timedelta(minutes=1))
    kept = schedule_ids(tx, "ada", scheduled_at=at, expires_at=at + timedelta(hours=1))
    _at(tx, "2 minutes 1 s")
    done = drain(tx)
    assert (done["sent"], done["expired"], done["busy"]) == (1, 2, [])
    assert statuses(tx, [*gone, *kept]) == ["cancelled", "cancelled", "sent"]
    assert column(tx, "select distinct cancel_reason from notify.notification where status = 'cancelled'") == [
        "expired"
    ]
    assert (mailbox(tx, "ada"), mailbox(tx, "bob")) == ((1, 1, 0, 0), (0, 0, 0, 0))


def test_outside_channels_get_deliveries(tx: Db, carrier: str) -> None:
    (outside,) = schedule_ids(tx, "ada", channels=[carrier, "pigeon"])
    (mixed,) = schedule_ids(tx, "ada", channels=["inbox", carrier])
    (inside,) = schedule_ids(tx, "ada")
    done = drain(tx)
    assert (done["picked"], done["sent"], done["sending"]) == (3, 2, 1)
    assert statuses(tx, [outside, mixed, inside]) == ["sending", "sent", "sent"]
    assert _stream(tx, "ada") == [mixed, inside]
    made = tx.execute("select notification_id, channel, status, attempts from notify.delivery order by 1, 2").fetchall()
    assert made == [
        (outside, carrier, "pending", 0),
        (outside, "pigeon", "pending", 0),
        (mixed, carrier, "pending", 0),
    ]
    assert drain(tx)["picked"] == 0


def test_expired_gets_no_deliveries(tx: Db, carrier: str) -> None:
    schedule(tx, "ada", channels=[carrier], expires_at=soon(tx, "1 minute"))
    _at(tx, "2 minutes")
    assert drain(tx)["expired"] == 1
    assert value(tx, "select count(*) from notify.delivery") == 0


def test_retry_arms_the_failed_deliveries_again_and_only_those(tx: Db, carrier: str) -> None:
    (id,) = schedule_ids(tx, "ada", channels=[carrier, "pigeon"])
    drain(tx)
    tx.execute("update notify.delivery set status = 'failed', failed_at = now(), error = 'e' where channel = 'carrier'")
    tx.execute("update notify.delivery set status = 'sent', sent_at = now() where channel = 'pigeon'")
    tx.execute("update notify.notification set status = 'failed', failed_at = now(), failure_reason = 'e'")
    before = value(tx, "select id from notify.delivery where channel = 'carrier'")
    assert call_one(tx, "retry", id=id, delay="0")["retried"]
    assert drain(tx)["sending"] == 1
    made = tx.execute("select id, channel, status, failed_at from notify.delivery order by channel").fetchall()
    assert made[0] == (before, "carrier", "pending", None)
    assert made[1][1:] == ("pigeon", "sent", None)


def test_quarantined_and_avoided_are_left_alone(tx: Db) -> None:
    ids = schedule_ids(tx, "ada", "bob")
    more = schedule_ids(tx, "ada", "bob")
    assert drain(tx, p_quarantine=ids[:1], p_avoid=["bob"])["sent"] == 1
    assert statuses(tx, [*ids, *more]) == ["pending", "pending", "sent", "pending"]


def test_only_these_and_only_if_they_are_due(tx: Db) -> None:
    ids = schedule_ids(tx, "ada", "bob")
    later = schedule_ids(tx, "ada", scheduled_at=soon(tx))
    done = drain(tx, p_only=[*later, ids[1]])
    assert (done["picked"], done["sent"]) == (1, 1)
    assert statuses(tx, [*ids, *later]) == ["pending", "sent", "pending"]


def test_urgent_is_picked_before_a_hundred_thousand_low_ones(tx: Db) -> None:
    tx.execute("set local session_replication_role to replica")
    batch = schedule(tx, "ada")[0]["batch_id"]
    tx.execute(
        "insert into notify.notification (batch_id, recipient, priority, due_at)"
        " select %s, 'ada', 'low', notify.now() - interval '1 hour' from generate_series(1, 100000)",
        (batch,),
    )
    (urgent,) = schedule_ids(tx, "bob", priority="urgent")
    done = drain(tx, p_max=100)
    # With few others, as it would wait for the work on them; but not alone, or they would wait for ever.
    assert (done["picked"], done["sent"]) == (11, 11)
    assert statuses(tx, [urgent]) == ["sent"]
    assert drain(tx, p_max=100)["sent"] == 100


def test_sent_at_is_the_clock_and_not_the_start_of_the_transaction(tx: Db) -> None:
    (id,) = schedule_ids(tx, "ada")
    drain(tx)
    assert value(tx, "select sent_at > now() and sent_at >= due_at from notify.notification where id = %s", id)


def test_the_commit_is_synchronous_whatever_the_server_says(tx: Db) -> None:
    tx.execute(
        "create function pg_temp.look() returns trigger language plpgsql as $$ begin"
        " perform set_config('test.seen', current_setting('synchronous_commit'), true); return new; end $$"
    )
    tx.execute("create trigger look before update on notify.notification for each row execute function pg_temp.look()")
    tx.execute("set local synchronous_commit to off")
    schedule(tx, "ada")
    tx.execute("set local synchronous_commit to off")
    assert drain(tx)["sent"] == 1
    assert value(tx, "select current_setting('test.seen')") == "on"
    assert value(tx, "show synchronous_commit") == "on"


def test_a_filled_chunk_tells_where_the_next_goes_on(tx: Db) -> None:
    low = [schedule_ids(tx, "ada", priority="low")[0] for _ in range(3)]
    urgent = [schedule_ids(tx, "ada", priority="urgent")[0] for _ in range(3)]
    first = drain(tx, p_max=2)
    assert (first["picked"], first["after"]) == (2, [urgent[1]])
    # One urgent one, and a tenth of the chunk beside it.
    second = drain(tx, p_max=2, p_after=first["after"])
    assert (second["picked"], second["after"]) == (2, [urgent[1], low[0]])
    # Both at once: each only holds for its own priority.
    late = schedule_ids(tx, "ada", priority="normal")[0]
    third = drain(tx, p_max=2, p_after=second["after"])
    assert statuses(tx, [late, *low]) == ["sent", "sent", "sent", "pending"]
    assert third["after"] == [urgent[1], low[1]]
    last = drain(tx, p_max=2, p_after=third["after"])
    assert (last["picked"], last["after"]) == (1, None)


def test_nothing_is_looked_for_before_it_but_what_a_ring_tells_of(tx: Db) -> None:
    at = soon(tx, "1 hour")
    ids = [schedule_ids(tx, "ada", scheduled_at=at)[0] for _ in range(3)]
    _at(tx, "2 hours")
    # As a chunk that was filled while the first two were locked or not visible yet.
    assert drain(tx, p_max=1, p_after=[ids[1]])["sent"] == 1
    assert statuses(tx, ids) == ["pending", "pending", "sent"]
    assert drain(tx, p_max=1, p_after=[ids[2]])["picked"] == 0
    tx.execute("insert into notify.wakeup (at, due_from) values (notify.now(), %s)", (at,))
    assert drain(tx, p_max=1, p_after=[ids[2]])["sent"] == 1
    assert statuses(tx, ids) == ["sent", "pending", "sent"]
    # One that has been removed meanwhile says nothing.
    assert drain(tx, p_max=1, p_after=[10**12])["sent"] == 1


def test_a_pass_does_not_walk_over_what_it_has_sent(tx: Db) -> None:
    """In a transaction, as under a snapshot, it stays in the index; from the beginning 20 chunks of 50 read 10,000."""
    schedule(tx, *[str(n) for n in range(1000)], unknown_recipients="create")
    read = "select pg_stat_get_xact_tuples_returned('notify.notification_due'::regclass)"
    before = value(tx, read)
    after: list[int] = []
    chunks = 0
    while (done := drain(tx, p_max=50, p_after=after))["picked"]:
        after = done["after"]
        chunks += 1
    assert chunks == 20
    assert value(tx, read) - before < 2_500
