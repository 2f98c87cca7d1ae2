"""Couriers: everything due is sent and recorded, many at once, whatever a channel, the database or the worker does."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest
from psycopg.conninfo import make_conninfo

from conftest import Connect
from delivery.conftest import Serve, serving
from helpers.outside import Pigeons, add_reachable, attempts, delivery, send
from helpers.proxy import Proxy
from helpers.rows import Db, column, rows, schedule, statuses, value
from helpers.wait import until_true
from notify.channels.protocol import Message, Outcome, final, retry, sent
from notify.config import Settings
from notify.dispatch import drain_all
from notify.faults import Quarantine
from notify.postgres.embedded import Embedded
from notify.postgres.pool import connect


def _sent(db: Db) -> int:
    count: int = value(db, "select count(*) from notify.delivery where status = 'sent'")
    return count


def _crowd(db: Db, count: int) -> list[str]:
    """So many recipients with an address."""
    names = [f"r{n}" for n in range(count)]
    add_reachable(db, *names)
    return names


async def test_what_is_due_is_sent_once_and_recorded(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    async with serve(pigeons) as outside:
        ids = [send(db, "ada", title=f"T{n}")[0] for n in range(20)]
        outside.wake()
        await until_true(lambda: _sent(db) == 20)
    assert sorted(message.notification_id for message in pigeons.flown) == sorted(ids)
    assert statuses(db, ids) == ["sent"] * 20
    assert {message.attempt for message in pigeons.flown} == {1}
    assert len({message.stable_id for message in pigeons.flown}) == 20
    assert column(db, "select detail from notify.attempt") == ["coo"] * 20


async def test_never_more_at_once_than_the_channel_takes(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.gate = asyncio.Event()
    names = _crowd(db, 12)
    async with serve(pigeons) as outside:
        send(db, *names)
        outside.wake()
        await until_true(lambda: pigeons.in_the_air == 4)
        pigeons.gate.set()
        await until_true(lambda: _sent(db) == 12)


async def test_one_that_hangs_holds_up_no_other(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    slow = asyncio.Event()

    class Halting(Pigeons):
        async def send(self, message: Message) -> Outcome:
            if message.recipient == "bob":
                await slow.wait()
            return await super().send(message)

    channel = Halting(concurrency=2)
    async with serve(channel) as outside:
        send(db, "bob")
        for _ in range(30):
            send(db, "ada")
        outside.wake()
        await until_true(lambda: _sent(db) == 30)
        slow.set()
        await until_true(lambda: _sent(db) == 31)


async def test_a_slow_channel_holds_up_neither_another_nor_the_inbox(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.gate = asyncio.Event()
    owls = Pigeons("owl")
    async with serve(pigeons, owls) as outside:
        db.execute('update notify.recipient set addresses = addresses || \'{"owl": "o"}\'')
        for _ in range(10):
            send(db, "ada", channels=["inbox", "pigeon", "owl"])
        outside.wake()
        await until_true(lambda: len(owls.flown) == 10)
        assert value(db, "select last_seq from notify.mailbox where recipient = 'ada'") == 10
        assert pigeons.flown == []
        pigeons.gate.set()
        await until_true(lambda: _sent(db) == 20)


async def test_a_failure_is_retried_under_the_same_id_and_then_given_up(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.answer = lambda _: retry("http-503", "busy")
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": [0, 0], "jitter": 0}}')
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["failed"])
    assert attempts(db, id) == [(1, "retry", "http-503"), (2, "retry", "http-503"), (3, "failed", "http-503")]
    assert len({message.stable_id for message in pigeons.flown}) == 1
    assert delivery(db, id)["error"] == "busy; after 3 tries"


async def test_a_final_failure_is_not_retried(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.answer = lambda _: final("smtp-550", "unknown")
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada")
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["failed"])
    assert attempts(db, id) == [(1, "failed", "smtp-550")]


async def test_a_channel_that_raises_fails_and_lives(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    def fall(message: Message) -> Outcome:
        if len(pigeons.flown) == 1:
            raise RuntimeError("broken wing")
        return sent()

    pigeons.answer = fall
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": [0]}}')
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["sent"])
    assert attempts(db, id) == [(1, "retry", "error"), (2, "sent", None)]
    assert "RuntimeError: broken wing" in column(db, "select detail from notify.attempt order by number")[0]


async def test_one_that_takes_too_long_times_out(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.gate = asyncio.Event()
    async with serve(pigeons, send_seconds=0.05) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": []}}')
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["failed"])
    assert attempts(db, id) == [(1, "failed", "timeout")]
    assert pigeons.in_the_air == 0


async def test_each_of_several_has_its_own_time(db: Db, serve: Serve) -> None:
    ends: dict[str, float] = {}

    class Slow(Pigeons):
        async def send(self, message: Message) -> Outcome:
            began = asyncio.get_running_loop().time()
            try:
                await asyncio.Event().wait()
            finally:
                ends[message.recipient] = asyncio.get_running_loop().time() - began
            return sent()

    async with serve(Slow(), send_seconds=0.3) as outside:
        ids: list[int] = []
        unleased = "select count(*) from notify.delivery where status <> 'leased'"
        for name in _crowd(db, 3):
            ids += send(db, name, options='{"retry": {"delays": []}}')
            outside.wake()
            await until_true(lambda: value(db, unleased) == 0)
        await until_true(lambda: statuses(db, ids) == ["failed"] * 3)
        ids += send(db, "r0", options='{"retry": {"delays": []}}')
        db.execute("select notify.enable_address('r0', 'pigeon')")
        outside.wake()
        await until_true(lambda: statuses(db, ids) == ["failed"] * 4)
    assert column(db, "select code from notify.delivery") == ["timeout"] * 4
    assert all(seconds > 0.29 for seconds in ends.values())


async def test_a_channel_that_cannot_be_opened_is_tried_again(db: Db, serve: Serve) -> None:
    class Closed(Pigeons):
        opened = 0

        async def __aenter__(self) -> Any:
            self.opened += 1
            if self.opened < 3:
                raise RuntimeError("the door is locked")
            return self

    channel = Closed()
    async with serve(channel):
        send(db, "ada")
        await until_true(lambda: _sent(db) == 1)
    assert channel.opened == 3


async def test_a_worker_that_stops_ends_what_it_began_and_gives_back_the_rest(db: Db, serve: Serve) -> None:
    channel = Pigeons(concurrency=1)
    channel.gate = asyncio.Event()
    async with serve(channel, send_seconds=1) as outside:
        for _ in range(3):
            send(db, "ada")
        outside.wake()
        await until_true(lambda: channel.in_the_air == 1)
        asyncio.get_running_loop().call_later(0.05, channel.gate.set)
    assert rows(db, "select status, count(*) from notify.delivery group by status order by status") == [
        {"status": "pending", "count": 2},
        {"status": "sent", "count": 1},
    ]
    assert value(db, "select count(*) from notify.attempt") == 1


async def test_what_cannot_be_recorded_is_recorded_later(
    db: Db, serve: Serve, pigeons: Pigeons, connect: Connect
) -> None:
    pigeons.gate = asyncio.Event()
    names = _crowd(db, 4)
    async with serve(pigeons) as outside:
        ids = send(db, *names)
        outside.wake()
        await until_true(lambda: pigeons.in_the_air == 4)
        # As when the server restarts: every session of the worker is gone, more than once.
        for _ in range(2):
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name like 'notify-outside%'"
            )
        pigeons.gate.set()
        await until_true(lambda: _sent(db) == 4)
    assert statuses(db, ids) == ["sent"] * 4
    assert len(pigeons.flown) == 4


async def test_the_drain_wakes_it(db: Db, serve: Serve, pigeons: Pigeons, settings: Settings) -> None:
    async with serve(pigeons) as outside, await connect(settings, name="ticker") as connection:
        schedule(db, "ada", channels=["pigeon"])
        await drain_all(connection, Quarantine(), max_rows=10, outgoing=outside.expect)
        await until_true(lambda: _sent(db) == 1)


async def test_it_comes_back_when_a_retry_is_due(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.answer = lambda message: retry("busy") if message.attempt == 1 else sent()
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": [0.2], "jitter": 0}}')
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["sent"])


async def test_an_outage_lets_the_channel_rest_and_it_recovers_by_itself(
    db: Db, serve: Serve, pigeons: Pigeons
) -> None:
    down = True
    pigeons.answer = lambda _: retry("connect", outage=True) if down else sent()
    async with serve(pigeons, breaker_failures=4, breaker_seconds=0.2) as outside:
        for _ in range(40):
            send(db, "ada", options='{"retry": {"delays": [0, 0, 0, 0, 0, 0, 0, 0, 0]}}')
        outside.wake()
        await until_true(lambda: value(db, "select rests from notify.channel_state where channel = 'pigeon'") >= 2)
        assert len(pigeons.flown) < 20  # not hammered: a few before it rests, then one by one
        down = False
        await until_true(lambda: _sent(db) == 40)
    assert value(db, "select state from notify.channels where name = 'pigeon'") == "open"


async def test_a_rate_is_kept_and_nothing_is_left(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    async with serve(pigeons) as outside:
        db.execute("select notify.set_channel('pigeon', '{\"rate\": 20}')")
        for _ in range(25):
            send(db, "ada")
        outside.wake()
        await until_true(lambda: _sent(db) == 25)
    took = value(db, "select extract(epoch from max(finished_at) - min(started_at)) from notify.attempt")
    assert took >= 0.2  # 20 at once, the others at 20 a second


async def test_a_resumed_channel_goes_on(db: Db, serve: Serve, pigeons: Pigeons, settings: Settings) -> None:
    async with serve(pigeons) as outside, await connect(settings, name="ticker") as connection:
        db.execute("select notify.set_channel('pigeon', '{\"paused\": true}')")
        send(db, "ada")
        outside.wake()
        db.execute("select notify.set_channel('pigeon', '{\"paused\": false}')")
        # The ticker's next look tells of it.
        await drain_all(connection, Quarantine(), max_rows=10, outgoing=outside.expect)
        await until_true(lambda: _sent(db) == 1)


async def test_what_waited_beyond_its_age_is_not_tried_again(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    """Whatever it waited for. As nobody was asked, it says nothing of the address, nor of the channel."""
    pigeons.answer = lambda _: retry("busy")
    told = "select to_jsonb(e) from notify.endpoint e"
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": [60, 60], "max_age": 100}}')
        outside.wake()
        await until_true(lambda: attempts(db, id) == [(1, "retry", "busy")])
        was = value(db, told)
        db.execute("update notify.channel_state set failures = 3")
        db.execute("update notify.delivery set since = since - interval '101 s', due_at = notify.now()")
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["failed"])
    assert attempts(db, id) == [(1, "retry", "busy"), (2, "failed", "too-old")]
    assert len(pigeons.flown) == 1
    assert value(db, told) == was
    assert value(db, "select failures from notify.channel_state where channel = 'pigeon'") == 3


async def test_the_last_retry_is_not_used_up_by_an_outage(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.answer = lambda message: sent() if message.attempt == 3 else retry("connect", outage=True)
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": []}}')
        for outcome in ("retry", "retry", "sent"):
            db.execute("update notify.delivery set due_at = notify.now()")
            outside.wake()
            tried = len(attempts(db, id))
            await until_true(lambda: len(attempts(db, id)) > tried)  # noqa: B023 - waited for here
            assert attempts(db, id)[-1][1] == outcome


async def test_its_own_channels_only(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    async with serve(pigeons) as outside:
        db.execute("insert into notify.channel (name, description) values ('owl', 'of another worker')")
        db.execute('update notify.recipient set addresses = addresses || \'{"owl": "o"}\'')
        (id,) = send(db, "ada", channels=["owl", "pigeon"])
        outside.wake()
        await until_true(lambda: _sent(db) == 1)
    assert delivery(db, id, "owl")["status"] == "pending"


async def test_a_channel_that_returns_no_outcome_fails_and_lives(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    nothing = cast(Outcome, None)
    pigeons.answer = lambda message: sent() if message.attempt == 2 else nothing
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": [0]}}')
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["sent"])
    assert attempts(db, id) == [(1, "retry", "error"), (2, "sent", None)]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(kind="retry", code="HTTP 503\x00", retry_after=1e300),
        Outcome(kind="retry", code="a" * 1000, detail="\x00\ud800", retry_after=float("nan")),
        Outcome(kind="retry", retry_after=-5.0),
    ],
)
async def test_whatever_an_outcome_says_is_stored(db: Db, serve: Serve, pigeons: Pigeons, outcome: Outcome) -> None:
    pigeons.answer = lambda _: outcome
    async with serve(pigeons) as outside:
        (id,) = send(db, "ada", options='{"retry": {"delays": []}}')
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["failed"])
    assert len(pigeons.flown) == 1


async def test_a_pause_stops_what_was_taken_ahead(db: Db, serve: Serve) -> None:
    names = _crowd(db, 40)
    first, others = asyncio.Event(), asyncio.Event()

    class Halting(Pigeons):
        begun = 0

        async def send(self, message: Message) -> Outcome:
            self.begun += 1
            if self.begun > 20:
                await (first if self.begun == 21 else others).wait()
            return await super().send(message)

    pigeons = Halting()
    leased = "select count(*) from notify.delivery where status = 'leased'"
    # What is under way ends by itself only long after the test.
    async with serve(pigeons, send_seconds=600, lease_seconds=900) as outside:
        send(db, *names[:20])
        outside.wake()
        await until_true(lambda: _sent(db) == 20)  # fast, so it takes many ahead
        send(db, *names[20:])
        outside.wake()
        await until_true(lambda: value(db, leased) > 8)
        db.execute("select notify.set_channel('pigeon', '{\"paused\": true}')")
        first.set()
        await until_true(lambda: value(db, leased) <= 4)
        assert pigeons.begun <= 25  # four under way, and the one whose place came free before the pause was seen
        others.set()
    assert _sent(db) <= 25


async def test_one_that_somebody_holds_is_recorded_later_and_holds_up_nobody(
    db: Db, serve: Serve, pigeons: Pigeons, connect: Connect
) -> None:
    pigeons.gate = asyncio.Event()
    holder = connect(autocommit=False)
    async with serve(pigeons) as outside:
        (held,) = send(db, "ada")
        outside.wake()
        await until_true(lambda: pigeons.in_the_air == 1)
        holder.execute("select from notify.notification where id = %s for update", (held,))
        pigeons.gate.set()
        (other,) = send(db, "bob")
        outside.wake()
        await until_true(lambda: statuses(db, [other]) == ["sent"])
        holder.commit()
        await until_true(lambda: statuses(db, [held]) == ["sent"])
    assert attempts(db, held) == [(1, "sent", None)]


async def test_a_long_outage_of_the_database_doubles_nothing(
    db: Db, settings: Settings, pigeons: Pigeons, server: Embedded
) -> None:
    """Longer than a connection is waited for, while something tells the couriers to look."""
    pigeons.gate = asyncio.Event()
    names = _crowd(db, 4)
    with Proxy("127.0.0.1", server.port) as link:
        dsn = make_conninfo(host="127.0.0.1", port=link.port, user="postgres", dbname=db.info.dbname)
        away = msgspec.structs.replace(settings, database_url=dsn, connect_timeout=2)
        async with serving(away, pigeons) as outside:
            ids = send(db, *names)
            outside.wake()
            await until_true(lambda: pigeons.in_the_air == 4)
            link.refuse()
            link.cut()
            pigeons.gate.set()
            outside.wake()
            await until_true(lambda: outside.failures >= 2)
            link.heal()
            await until_true(lambda: _sent(db) == 4)
    assert statuses(db, ids) == ["sent"] * 4
    assert len(pigeons.flown) == 4
