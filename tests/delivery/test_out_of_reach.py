"""Channels whose addresses are many places: when nobody can be reached they rest, and a few dead ones are no outage."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from delivery.conftest import Serve
from helpers.apprises import HERE
from helpers.mail import channel_to
from helpers.outside import Pigeons, add_reachable, attempts, send
from helpers.proxy import Proxy
from helpers.receiver import Receiver
from helpers.rows import Db, column, one, statuses, value
from helpers.smtp import MailServer
from helpers.wait import until_true
from helpers.webhooks import LOOPBACK, Names
from notify.channels.protocol import Message, Outcome, retry, sent
from notify.channels.services import AppriseChannel
from notify.channels.webhook import WebhookChannel
from notify.config import Settings

_FEW_RETRIES = '{"retry": {"delays": [0, 0], "jitter": 0}}'
_ONE_TRY = '{"retry": {"delays": []}}'
_SENT = "select count(*) from notify.delivery where status = 'sent'"
_ATTEMPTS = "select count(*) from notify.attempt"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def link(receiver: Receiver) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", receiver.port) as running:
        yield running


def _rests(db: Db, channel: str) -> int:
    rests: int = value(db, "select rests from notify.channel_state where channel = %s", channel)
    return rests


def _crowd(db: Db, channel: str, url: str, count: int) -> list[str]:
    """So many recipients, each with an address of its own at this URL."""
    names = [f"r{n:03}" for n in range(count)]
    for name in names:
        add_reachable(db, name, channel=channel, addresses={channel: f"{url}/{name}"})
    return names


def _webhook(**options: Any) -> WebhookChannel:
    return WebhookChannel(msgspec.structs.replace(LOOPBACK, webhook_concurrency=4), **options)


@pytest.mark.parametrize(("name", "way"), [("webhook", "refuse"), ("webhook", "freeze"), ("apprise", "refuse")])
async def test_when_nobody_can_be_reached_the_channel_rests_and_recovers_by_itself(
    db: Db, serve: Serve, link: Proxy, name: str, way: str
) -> None:
    channel = _webhook() if name == "webhook" else AppriseChannel(Settings(**HERE), "apprise")
    names = _crowd(db, name, f"{'http' if name == 'webhook' else 'json'}://127.0.0.1:{link.port}", 40)
    getattr(link, way)()
    async with serve(channel, breaker_failures=4, breaker_seconds=0.2, send_seconds=0.5) as outside:
        ids = send(db, *names, channels=[name], options=_FEW_RETRIES)
        outside.wake()
        await until_true(lambda: _rests(db, name) >= 3)
        assert value(db, _ATTEMPTS) < 20  # not hammered: a few before it rests, then one by one
        assert set(statuses(db, ids)) == {"sending"}
        assert value(db, "select count(*) from notify.endpoint") < 4  # none but the first says anything of its address
        link.heal()
        await until_true(lambda: value(db, _SENT) == 40)
    assert value(db, "select state from notify.channels where name = %s", name) == "open"


@pytest.mark.parametrize("dead", ["http://127.0.0.1", "http://[::1]", "http://nowhere.example.org"])
async def test_a_few_dead_ones_among_those_that_answer_are_no_outage(
    db: Db, serve: Serve, receiver: Receiver, dead: str
) -> None:
    names = _crowd(db, "webhook", receiver.url, 48)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for name in names[::4]:
            address = f"{dead}:{free.getsockname()[1]}/{name}"
            add_reachable(db, name, channel="webhook", addresses={"webhook": address})
        channel = WebhookChannel(
            msgspec.structs.replace(LOOPBACK, webhook_concurrency=4, outside_allow="127.0.0.1,::1"),
            resolver=Names(socket.gaierror(socket.EAI_NONAME, "no such name")),
        )
        async with serve(channel, breaker_failures=6) as outside:
            ids = send(db, *names, channels=["webhook"], options=_ONE_TRY)
            outside.wake()
            await until_true(lambda: "sending" not in statuses(db, ids))
    assert value(db, _SENT) == 36
    assert set(column(db, "select code from notify.delivery where status = 'failed'")) <= {"connect", "dns"}
    state = one(db, "select failures, rests from notify.channel_state where channel = 'webhook'")
    assert state == {"failures": 0, "rests": 0}


async def test_it_rests_as_soon_as_so_many_addresses_were_tried(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.answer = lambda _: retry("connect", unreachable=True)
    names = _crowd(db, "pigeon", "loft", 40)
    async with serve(pigeons, breaker_failures=10, breaker_seconds=60) as outside:
        send(db, *names)
        outside.wake()
        await until_true(lambda: _rests(db, "pigeon") == 1)
        await until_true(lambda: value(db, "select count(*) from notify.delivery where status = 'leased'") == 0)
    assert 10 <= len(pigeons.flown) < 10 + pigeons.concurrency
    assert value(db, "select count(*) from notify.delivery where retries_from < attempts") == 9


async def test_one_address_that_is_dead_fails_for_itself_alone(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.answer = lambda _: retry("connect", unreachable=True)
    async with serve(pigeons, breaker_failures=2) as outside:
        ids = [send(db, "ada", options=_ONE_TRY)[0] for _ in range(8)]
        outside.wake()
        await until_true(lambda: statuses(db, ids) == ["failed"] * 8)
    assert _rests(db, "pigeon") == 0


async def test_what_is_too_slow_everywhere_is_out_of_reach(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    pigeons.gate = asyncio.Event()
    async with serve(pigeons, breaker_failures=2, breaker_seconds=0.1, send_seconds=0.1) as outside:
        ids = send(db, "ada", "bob", options=_FEW_RETRIES)
        outside.wake()
        await until_true(lambda: _rests(db, "pigeon") >= 2)
        pigeons.gate.set()
        await until_true(lambda: statuses(db, ids) == ["sent"] * 2)


async def test_a_sender_that_is_refused_ends_no_campaign(db: Db, serve: Serve) -> None:
    names = [f"r{n:02}" for n in range(20)]
    for name in names:
        add_reachable(db, name, channel="email", addresses={"email": f"{name}@example.net"})
    with MailServer() as server:
        server.script("MAIL", *["550 5.7.1 account suspended"] * 12)
        async with serve(channel_to(server.port), breaker_failures=4, breaker_seconds=0.02) as outside:
            ids = send(db, *names, channels=["email"], options=_FEW_RETRIES)
            outside.wake()
            await until_true(lambda: statuses(db, ids) == ["sent"] * 20)
        assert len(server.mails) == 20
    assert value(db, "select count(*) from notify.attempt where code = 'smtp-550' and outcome = 'retry'") == 12


@pytest.mark.parametrize("many", [10, 30])
async def test_a_dead_host_keeps_those_behind_it_waiting_for_no_long(db: Db, serve: Serve, many: int) -> None:
    """One by one all of its addresses would be tried for hours, as each that fails doubles the rest."""
    names = _crowd(db, "pigeon", "loft", 60 + many)
    dead = set(names[:many])

    def answer(message: Message) -> Outcome:
        return retry("connect", unreachable=True) if message.recipient in dead else sent()

    pigeons = Pigeons()
    pigeons.answer = answer
    async with serve(pigeons, breaker_failures=10, breaker_seconds=0.1) as outside:
        ids = send(db, *names)
        outside.wake()
        await until_true(lambda: statuses(db, ids[many:]) == ["sent"] * 60)
    # None is tried again before its time, which is later than that of all who wait.
    assert max(len(attempts(db, id)) for id in ids) == 1
    assert set(statuses(db, ids[:many])) == {"sending"}
