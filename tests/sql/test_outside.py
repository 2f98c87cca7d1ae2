"""Deliveries in SQL: leases and their tokens, attempts, what becomes of the notification, replay, and rescue."""

from __future__ import annotations

from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from conftest import Connect
from helpers.outside import add_channel, add_reachable, attempts, delivery, lease, record, send
from helpers.rows import Db, call_one, column, one, refused, schedule, schedule_ids, soon, statuses, value


@pytest.fixture(autouse=True)
def reachable(tx: Db) -> None:
    add_channel(tx)
    add_reachable(tx, "ada", "bob", locale="de-AT", time_zone="Europe/Berlin")


def _at(tx: Db, offset: str) -> None:
    tx.execute("select set_config('notify.clock_offset', %s, true)", (offset,))


def test_a_lease_has_all_that_is_sent(tx: Db) -> None:
    (id,) = send(tx, "ada", title="T", message="M", type="news", priority="high", data="{}", reference="r:1")
    (leased,) = lease(tx)
    assert (leased["notification_id"], leased["recipient"], leased["address"]) == (id, "ada", "loft of ada")
    assert (leased["title"], leased["message"], leased["html"], leased["type"]) == ("T", "M", None, "news")
    assert (leased["priority"], leased["reference"], leased["locale"]) == ("high", "r:1", "de-AT")
    assert (leased["attempts"], leased["tries"], leased["required"], leased["retry"]) == (0, 0, False, {})
    assert leased["age"] < 10
    assert delivery(tx, id)["status"] == "leased"
    assert lease(tx) == []


def test_sent_once_a_channel_got_through(tx: Db) -> None:
    add_channel(tx, "owl")
    tx.execute('update notify.recipient set addresses = addresses || \'{"owl": "o"}\'')
    (id,) = send(tx, "ada", channels=["pigeon", "owl"])
    assert statuses(tx, [id]) == ["sending"]
    record(tx, lease(tx, channel="owl"), "failed", channel="owl", code="gone")
    assert statuses(tx, [id]) == ["sending"]
    assert record(tx, lease(tx)) == {"recorded": 1, "disabled": [], "locked": [], "stopped": False}
    assert statuses(tx, [id]) == ["sent"]
    assert attempts(tx, id) == [(1, "failed", "gone"), (1, "sent", None)]


def test_failed_when_all_are_dead(tx: Db) -> None:
    (id,) = send(tx, "ada")
    record(tx, lease(tx), "failed", code="smtp-550", detail="no such loft")
    found = one(tx, "select status, failure_reason from notify.notification where id = %s", id)
    assert found == {"status": "failed", "failure_reason": "pigeon: no such loft"}
    letters = one(
        tx, "select notification_id, channel, reason, code from notify.dead_letters where delivery_id is not null"
    )
    assert letters == {"notification_id": id, "channel": "pigeon", "reason": "no such loft", "code": "smtp-550"}
    assert one(tx, "select channel, status, code, deliveries from notify.delivery_counts") == {
        "channel": "pigeon",
        "status": "failed",
        "code": "smtp-550",
        "deliveries": 1,
    }


def test_with_the_inbox_it_is_sent_at_the_commit(tx: Db) -> None:
    (id,) = send(tx, "ada", channels=["inbox", "pigeon"])
    assert statuses(tx, [id]) == ["sent"]
    record(tx, lease(tx), "failed", code="x")
    assert statuses(tx, [id]) == ["sent"]
    assert delivery(tx, id)["status"] == "failed"


def test_a_retry_is_due_after_its_delay(tx: Db) -> None:
    (id,) = send(tx, "ada")
    record(tx, lease(tx), "retry", code="http-503", detail="busy", delay=300)
    assert lease(tx) == []
    found = delivery(tx, id)
    assert (found["status"], found["attempts"], found["code"], found["error"]) == ("pending", 1, "http-503", "busy")
    _at(tx, "299 s")
    assert lease(tx) == []
    _at(tx, "302 s")
    (again,) = lease(tx)
    assert (again["attempts"], again["tries"]) == (1, 1)
    record(tx, [again])
    assert (delivery(tx, id)["error"], statuses(tx, [id])) == (None, ["sent"])


def test_who_lost_the_lease_has_no_say(tx: Db) -> None:
    (id,) = send(tx, "ada")
    stale = lease(tx)
    _at(tx, "61 s")
    assert value(tx, "select notify.rescue_deliveries(10)") == 1
    assert attempts(tx, id) == [(1, "retry", "lease-lost")]
    assert record(tx, stale)["recorded"] == 0
    assert statuses(tx, [id]) == ["sending"]
    fresh = lease(tx)
    assert record(tx, stale, "failed")["recorded"] == 0
    assert record(tx, fresh)["recorded"] == 1
    assert attempts(tx, id) == [(1, "retry", "lease-lost"), (2, "sent", None)]


def test_released_ones_are_as_they_were(tx: Db) -> None:
    (id,) = send(tx, "ada")
    (leased,) = lease(tx)
    tokens = ([leased["id"]], [uuid4()])
    assert value(tx, "select notify.release_deliveries(%s, %s)", *tokens) == 0
    assert value(tx, "select notify.release_deliveries(%s, %s)", [leased["id"]], [leased["token"]]) == 1
    assert (delivery(tx, id)["status"], attempts(tx, id)) == ("pending", [])
    assert len(lease(tx)) == 1


def test_urgent_ones_are_taken_first_then_by_due_time(tx: Db) -> None:
    low, urgent, normal, other = (send(tx, "ada", priority=p)[0] for p in ("low", "urgent", "normal", "normal"))
    assert [row["notification_id"] for row in lease(tx)] == [urgent, normal, other, low]


def test_a_replay_has_all_its_retries_before_it(tx: Db) -> None:
    ids = [send(tx, name)[0] for name in ("ada", "bob")]
    record(tx, lease(tx), "failed", code="http-500")
    assert statuses(tx, ids) == ["failed", "failed"]
    assert value(tx, "select notify.replay_deliveries(%s)", [delivery(tx, ids[0])["id"]]) == 1
    assert statuses(tx, ids) == ["sending", "failed"]
    (again,) = lease(tx)
    assert (again["notification_id"], again["attempts"], again["tries"]) == (ids[0], 1, 0)
    assert again["age"] < 10
    assert value(tx, "select notify.replay_deliveries(%s)", [again["id"]]) == 0


def test_a_cancelled_notification_is_not_replayed(tx: Db) -> None:
    (id,) = send(tx, "ada")
    record(tx, lease(tx), "failed", code="x")
    tx.execute("select notify.retry(%s, interval '10 minutes')", (id,))
    assert value(tx, "select notify.replay_deliveries(%s)", [delivery(tx, id)["id"]]) == 0  # the drain will
    assert value(tx, "select cancelled from notify.cancel(%s)", id)
    assert value(tx, "select notify.replay_deliveries(%s)", [delivery(tx, id)["id"]]) == 0
    assert lease(tx) == []
    assert statuses(tx, [id]) == ["cancelled"]


def test_what_hangs_on_a_notification_that_is_not_sent_is_not_sent(tx: Db) -> None:
    (id,) = send(tx, "ada")
    tx.execute("update notify.notification set status = 'pending' where id = %s", (id,))
    assert lease(tx) == []
    assert (delivery(tx, id)["status"], delivery(tx, id)["code"]) == ("cancelled", "void")
    call_one(tx, "drain")
    record(tx, lease(tx))
    assert statuses(tx, [id]) == ["sent"]


def test_one_that_somebody_holds_keeps_no_other_from_being_recorded(db: Db, connect: Connect) -> None:
    add_channel(db)
    add_reachable(db, "eve", "fay")
    held, free = (send(db, name)[0] for name in ("eve", "fay"))
    leased = lease(db)
    holder = connect(autocommit=False)
    holder.execute("select from notify.notification where id = %s for update", (held,))
    done = record(db, leased)
    assert (done["recorded"], done["locked"]) == (1, [leased[0]["id"]])
    assert statuses(db, [held, free]) == ["sending", "sent"]
    holder.commit()
    assert record(db, leased[:1])["recorded"] == 1


def test_a_channel_that_is_down_costs_no_try(tx: Db) -> None:
    (id,) = send(tx, "ada")
    for number in range(6):
        record(tx, lease(tx), "retry", code="connect", outage=True, threshold=100, delay=0)
        assert (delivery(tx, id)["attempts"], delivery(tx, id)["retries_from"]) == (number + 1, number + 1)
    _at(tx, "1 hour")
    (leased,) = lease(tx)
    assert leased["tries"] == 0
    assert leased["age"] > 3500


def test_age_counts_from_the_first_try(tx: Db) -> None:
    send(tx, "ada")
    _at(tx, "2 days")
    (leased,) = lease(tx)
    assert leased["age"] == 0
    record(tx, [leased], "retry", delay=60)
    _at(tx, "2 days 1 hour")
    assert 3590 < lease(tx)[0]["age"] < 3610


def test_a_look_from_a_mark_does_not_walk_over_what_was_sent(tx: Db) -> None:
    """Under a long snapshot, as in a transaction, that stays in the index, and every empty look of a ticker asks."""
    read = "select pg_stat_get_xact_tuples_returned('notify.delivery_due'::regclass)"
    for _ in range(200):
        send(tx, "ada")
    record(tx, lease(tx, 200))
    before = value(tx, read)
    tx.execute("select from notify.next_deliveries()")
    between = value(tx, read)
    tx.execute("select from notify.next_deliveries(notify.now())")
    assert between - before >= 200
    assert value(tx, read) - between < 20


def test_many_are_replayed_by_filter(tx: Db) -> None:
    for name, code in (("ada", "http-500"), ("ada", "http-404"), ("bob", "http-500")):
        send(tx, name)
        record(tx, lease(tx), "failed", code=code)
    filters = {"p_channel": None, "p_code": None, "p_batch": None, "p_from": None, "p_to": None, "p_max": 10}
    assert call_one(tx, "replay_failed", **filters | {"p_channel": "owl"}) == {"replayed": 0, "more": False}
    assert call_one(tx, "replay_failed", **filters | {"p_to": soon(tx, "-1 hour")}) == {"replayed": 0, "more": False}
    assert call_one(tx, "replay_failed", **filters | {"p_code": "http-404"}) == {"replayed": 1, "more": False}
    batch = value(tx, "select max(batch_id) from notify.notification")
    assert call_one(tx, "replay_failed", **filters | {"p_batch": batch, "p_max": 1}) == {"replayed": 1, "more": True}
    assert call_one(tx, "replay_failed", **filters) == {"replayed": 1, "more": False}


def test_what_is_not_replayed_does_not_stand_in_the_way_of_what_is(tx: Db) -> None:
    ids = [send(tx, name)[0] for name in ("ada", "bob")]
    record(tx, lease(tx), "failed", code="x")
    assert value(tx, "select retried from notify.retry(%s, interval '1 hour')", ids[0])
    filters = {"p_channel": None, "p_code": None, "p_batch": None, "p_from": None, "p_to": None, "p_max": 1}
    assert call_one(tx, "replay_failed", **filters) == {"replayed": 1, "more": True}
    assert call_one(tx, "replay_failed", **filters) == {"replayed": 0, "more": False}
    assert statuses(tx, ids) == ["pending", "sending"]


def test_retry_of_a_failed_notification_sends_it_through_the_drain_again(tx: Db) -> None:
    (id,) = send(tx, "ada")
    record(tx, lease(tx), "failed", code="x")
    assert value(tx, "select retried from notify.retry(%s, interval '0')", id)
    call_one(tx, "drain")
    (again,) = lease(tx)
    assert (again["attempts"], again["tries"]) == (1, 0)
    record(tx, [again])
    assert statuses(tx, [id]) == ["sent"]


def test_the_policy_is_of_channel_type_and_batch_together(tx: Db) -> None:
    tx.execute('select notify.set_channel(\'pigeon\', \'{"retry": {"delays": [1], "jitter": 0}}\')')
    tx.execute('select notify.set_type(\'news\', \'{"retry": {"delays": [2], "max_age": 60}}\')')
    send(tx, "ada", type="news", options='{"retry": {"delays": [3], "final": ["http-4xx"]}}')
    (leased,) = lease(tx)
    assert leased["retry"] == {"delays": [3], "jitter": 0, "max_age": 60, "final": ["http-4xx"]}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ('{"retry": {"delays": [-1]}}', "retry.delays"),
        ('{"retry": {"delays": ["5"]}}', "retry.delays"),
        ('{"retry": {"jitter": 2}}', "retry.jitter"),
        ('{"retry": {"max_age": 0}}', "retry.max_age"),
        ('{"retry": {"final": ["HTTP 404"]}}', "retry.final"),
        ('{"retry": {"pause": 1}}', "retry"),
        ('{"retry": []}', "retry"),
        ('{"spread_over": 0}', "spread_over"),
        ('{"spread_over": 1.5}', "spread_over"),
        ('{"spread_over": "5"}', "spread_over"),
        ('{"contents": {"default_locale": "en", "locales": {}}}', "contents"),
        ('{"colour": "red"}', "options"),
        ("[]", "options"),
    ],
)
def test_bad_options_are_refused(tx: Db, options: str, field: str) -> None:
    with refused("NT001", field):
        schedule(tx, "ada", options=options)


def test_a_batch_can_be_spread(tx: Db) -> None:
    at = soon(tx)
    ids = schedule_ids(tx, "ada", "bob", scheduled_at=at, options='{"spread_over": 10}')
    apart = column(tx, "select due_at - %s from notify.notification where id = any (%s) order by id", at, ids)
    assert [gap.total_seconds() for gap in apart] == [0, 300]
    with refused("NT001", "expires_at"):
        schedule(tx, "ada", scheduled_at=at, expires_at=soon(tx, "65 minutes"), options='{"spread_over": 10}')


def test_options_for_nobody_are_nothing(tx: Db) -> None:
    (row,) = schedule(tx, "nobody", options='{"spread_over": 10.0, "retry": {"delays": []}}')
    assert (row["notification_id"], row["batch_id"]) == (None, None)
    (row,) = schedule(tx, "ada", options='{"spread_over": 10.0}')
    assert value(tx, "select spread_over::text from notify.batch_option") == "00:10:00"


def test_the_recipients_locale_picks_the_content(tx: Db) -> None:
    german = {"title": "Servus", "message": "n", "html": "<p>n"}
    locales = {"en": {"title": "Hi", "message": "m"}, "de": german}
    options = Jsonb({"contents": {"default_locale": "en", "locales": locales}})
    send(tx, "ada", options=options)
    tx.execute("update notify.recipient set locale = 'fr' where id = 'bob'")
    send(tx, "bob", options=options)
    assert [(row["title"], row["html"]) for row in lease(tx)] == [("Servus", "<p>n"), ("Hi", None)]


def test_the_next_delivery_is_told(tx: Db) -> None:
    assert call_one(tx, "drain")["delivery_due_in"] is None
    schedule(tx, "ada", channels=["pigeon"])
    assert call_one(tx, "drain")["deliveries"] == 1
    assert call_one(tx, "drain")["delivery_due_in"] <= 0
    record(tx, lease(tx), "retry", delay=300)
    assert 299 < call_one(tx, "drain")["delivery_due_in"] <= 300


def test_deliver_jobs_are_planned_for_the_coming_minute(tx: Db) -> None:
    jobs = "select count(*) from notify_jobs.procrastinate_jobs where task_name = 'notify.deliver'"
    send(tx, "ada")
    record(tx, lease(tx), "retry", delay=300)
    assert value(tx, "select notify.plan_deliveries()") == 0
    _at(tx, "270 s")
    assert value(tx, "select notify.plan_deliveries()") == 1
    assert value(tx, "select notify.plan_deliveries()") == 0
    assert value(tx, jobs) == 1


def test_two_leases_never_have_the_same(db: Db, connect: Connect) -> None:
    add_channel(db)
    add_reachable(db, "eve")
    for _ in range(4):
        send(db, "eve")
    one_session, other = connect(autocommit=False), connect(autocommit=False)
    first, second = lease(one_session, 2), lease(other, 4)
    assert len(first) == len(second) == 2
    assert {row["id"] for row in first}.isdisjoint({row["id"] for row in second})
