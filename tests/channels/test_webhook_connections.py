"""Webhooks whose endpoint does not answer, or has no address; and which connections are kept, repeated and closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
import uvloop
from msgspec.structs import replace

from channels.conftest import certified
from helpers.receiver import Answer, Receiver
from helpers.webhooks import LOOPBACK, Names, channel, message, send, soon


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


# no answer


async def test_a_cancelled_call_ends_at_once_and_closes_its_connection(receiver: Receiver) -> None:
    receiver.answer(Answer(way="hang"))
    async with channel() as opened:
        call = asyncio.create_task(opened.send(message(receiver.url)))
        await asyncio.to_thread(receiver.wait, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(lambda: receiver.left == 1, "the connection is closed")


async def test_refused_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = await send(f"http://127.0.0.1:{port}/hook?key=1")
    assert (outcome.kind, outcome.code, outcome.outage, outcome.unreachable) == ("retry", "connect", False, True)


async def test_a_connection_cut_before_the_answer(receiver: Receiver) -> None:
    receiver.answer(Answer(way="drop"))
    outcome = await send(receiver.url + "/hook?key=1")
    assert (outcome.kind, outcome.code, outcome.unreachable) == ("retry", "connect", True)
    assert len(receiver.requests) == 1


async def test_what_is_no_http(receiver: Receiver) -> None:
    receiver.answer(Answer(body=b"SSH-2.0-hello\r\n\r\n", way="garbage"))
    outcome = await send(receiver.url + "/hook?key=1")
    assert (outcome.kind, outcome.code, outcome.unreachable) == ("retry", "bad-response", False)


@pytest.mark.parametrize("failure", [socket.gaierror(socket.EAI_AGAIN, "try again"), []])
async def test_a_name_that_is_not_found(failure: Any) -> None:
    outcome = await send("https://nowhere.example/hook?key=1", resolver=Names(failure))
    assert (outcome.kind, outcome.code, outcome.outage, outcome.unreachable) == ("retry", "dns", False, True)


async def test_the_systems_own_lookup() -> None:
    assert (await send("https://nowhere.invalid/")).code == "dns"
    assert (await send("https://" + "a" * 64 + "/")).code == "dns"
    assert (await send("https://localhost/", replace(LOOPBACK, outside_allow=""))).code == "blocked"


async def test_a_certificate_nobody_vouches_for() -> None:
    with Receiver(tls=True) as receiver:
        outcome = await send(receiver.url + "/hook?key=1")
    assert (outcome.kind, outcome.code, outcome.unreachable, receiver.requests) == ("retry", "tls", True, [])
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail


async def test_a_certificate_is_verified_by_its_name(authority: trustme.CA) -> None:
    names = Names(["127.0.0.1"])
    with Receiver(tls=certified(authority, "shop.example")) as receiver:
        assert (await send(f"https://shop.example:{receiver.port}/", resolver=names)).kind == "sent"
        assert (await send(f"https://other.example:{receiver.port}/", resolver=names)).code == "tls"
    assert [got.headers["Host"] for got in receiver.requests] == [f"shop.example:{receiver.port}"]


async def test_no_tls_where_tls_is_wanted(receiver: Receiver) -> None:
    outcome = await send(receiver.url.replace("http:", "https:"))
    assert (outcome.kind, outcome.code) == ("retry", "tls")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://shop.example/hook",
        "shop.example/hook",
        "https://",
        "https://user:password@shop.example/hook",
        "https://@shop.example/hook",
        "https://shop.example/hook#part",
        "https://shop.example:99999/hook",
        "https://[fe80::1/hook",
        "https://shop..example\u3002/hook",
        {"url": "https://shop.example", "secret": "guess"},
        {"address": "https://shop.example"},
        {},
    ],
)
async def test_what_is_no_address(address: Any) -> None:
    outcome = await send(address, resolver=Names(socket.gaierror(socket.EAI_NONAME, "looked up")))
    assert (outcome.kind, outcome.code) == ("final", "bad-address")


# connections


async def test_a_connection_is_kept_for_the_next_call(receiver: Receiver) -> None:
    receiver.answer(Answer(body=b"ok"), Answer(503, body=b"no" * 2_000), Answer(body=b"ok"))
    async with channel() as opened:
        for _ in range(3):
            await opened.send(message(receiver.url))
    assert [got.connection for got in receiver.requests] == [1, 1, 1]


async def test_a_kept_connection_that_the_endpoint_closes_is_no_failure(receiver: Receiver) -> None:
    receiver.answer(Answer(), Answer(way="drop"), Answer())
    async with channel() as opened:
        assert [(await opened.send(message(receiver.url))).kind for _ in range(2)] == ["sent", "sent"]
    first, lost, again = receiver.requests
    assert (first.connection, lost.connection, again.connection) == (1, 1, 2)
    assert lost.body == again.body
    assert lost.headers["webhook-id"] == again.headers["webhook-id"]


async def test_it_is_repeated_once_at_most(receiver: Receiver) -> None:
    receiver.answer(Answer(), Answer(way="drop"))
    async with channel() as opened:
        assert [(await opened.send(message(receiver.url))).code for _ in range(2)] == ["", "connect"]
    assert len(receiver.requests) == 3


async def test_few_connections_are_kept_for_many_hosts(receiver: Receiver) -> None:
    async with channel(replace(LOOPBACK, webhook_concurrency=2), resolver=Names(["127.0.0.1"])) as opened:
        for number in range(30):
            outcome = await opened.send(message(f"http://shop{number}.example:{receiver.port}/"))
            assert outcome.kind == "sent"
        await soon(lambda: receiver.open <= 9, "the others are closed")


async def test_many_calls_at_once(receiver: Receiver) -> None:
    async with channel() as opened:
        outcomes = await asyncio.gather(*(opened.send(message(receiver.url, stable_id=f"n{n}")) for n in range(200)))
    assert {outcome.kind for outcome in outcomes} == {"sent"}
    assert {got.headers["webhook-id"] for got in receiver.requests} == {f"n{n}" for n in range(200)}


def test_over_uvloop() -> None:
    """As the worker runs it; what its loop raises is not always what asyncio's does."""

    async def calls(receiver: Receiver, tls: Receiver) -> list[str]:
        receiver.answer(Answer(), Answer(way="drop"), Answer(503), Answer(way="drop"))
        names = Names(["127.0.0.1", "127.0.0.2"], socket.gaierror(socket.EAI_NONAME, "gone"))
        places = [receiver.url, receiver.url, receiver.url, tls.url, "http://127.0.0.1:1", "http://127.0.0.2"]
        async with channel(resolver=names) as opened:
            outcomes = [
                await opened.send(message(place)) for place in [*places, "http://a.example", "http://b.example"]
            ]
        return [outcome.code for outcome in outcomes]

    with (
        Receiver() as receiver,
        Receiver(tls=True) as tls,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        codes = runner.run(calls(receiver, tls))
    assert codes == ["", "http-503", "connect", "tls", "connect", "blocked", "blocked", "dns"]
