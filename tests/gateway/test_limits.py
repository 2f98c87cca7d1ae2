"""What one socket may cost: frames at a pace, pings that are answered, messages of a size, and no deflate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from gateway.conftest import Client, Sender, Serve, Served
from helpers.wait import until_async
from notify import gatekeeper
from notify.access import key_hash, new_key
from notify.gateway import pace, protocol
from notify.gateway.pace import Pace
from notify.gateway.protocol import Protocol


@pytest.fixture
def protocols(monkeypatch: pytest.MonkeyPatch) -> list[Protocol]:
    """Every websocket of the server, in the order of their coming."""
    made: list[Protocol] = []
    connected = Protocol.connection_made

    def note(self: Protocol, transport: Any) -> None:
        made.append(self)
        connected(self, transport)

    monkeypatch.setattr(Protocol, "connection_made", note)
    return made


async def _closed_by_server(served: Served) -> None:
    async def gone() -> bool:
        return served.gateway.stats().connections == 0

    await until_async(gone)


def test_a_pace_is_a_bucket() -> None:
    bucket = Pace(100.0)
    bucket.spend(1000, 100.0)
    assert bucket.pause(100.0) == 0
    bucket.spend(100, 100.0)
    assert bucket.pause(100.0) == 0.5
    assert bucket.pause(100.25) == 0.25
    assert bucket.pause(101.0) == 0
    bucket.spend(1, 1000.0)
    assert bucket._left == 999  # no more is saved up


async def test_a_chatty_client_waits_and_the_others_do_not(
    ada: Served, sender: Sender, monkeypatch: pytest.MonkeyPatch, protocols: list[Protocol]
) -> None:
    sender.register("bob")
    sender.send("ada", times=1)
    monkeypatch.setattr(pace, "_AT_ONCE", 10.0)
    monkeypatch.setattr(pace, "_PER_SECOND", 0.001)
    chatty, _ = await ada.hear("ada")
    heard: list[str] = []
    decode = protocol.Protocol.send_receive_event_to_app

    def note(self: Protocol) -> None:
        heard.append("message")
        decode(self)

    monkeypatch.setattr(Protocol, "send_receive_event_to_app", note)
    talking = asyncio.create_task(_talk(chatty))

    async def held_back() -> bool:
        return protocols[0].read_paused and len(heard) >= 10

    await until_async(held_back, what="no more is read of it")
    other, _ = await ada.hear("bob")
    sender.send("ada", "bob")
    assert await other.seqs(1) == [1]
    assert await chatty.seqs(2) == [1, 2]  # what it is sent does not wait for what it says
    assert len(heard) < 100  # a piece of 2 KiB has 70
    assert not talking.done()
    talking.cancel()
    chatty.socket.transport.abort()
    with pytest.raises((ConnectionClosed, asyncio.CancelledError)):
        await talking


async def _talk(client: Client) -> None:
    while True:
        await client.say(type="ack", seq=1)


async def test_all_that_a_chatty_client_says_is_heard_in_the_end(
    serve: Serve, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is not taken for dead, though its pongs wait behind what it said."""
    monkeypatch.setattr(pace, "_AT_ONCE", 10.0)
    monkeypatch.setattr(pace, "_PER_SECOND", 200.0)
    sender.register("ada")
    served = await serve(ws_ping_seconds=0.1, ws_pong_seconds=0.1)
    client, _ = await served.hear("ada")
    sender.send("ada", times=150)
    await client.seqs(150)
    for seq in range(1, 151):
        await client.say(type="ack", seq=seq)
    await client.say(type="ack", seq="nonsense")
    while (await client.next())["type"] != "error":
        pass

    async def written() -> bool:
        return bool(sender.value("select acked_seq from notify.mailbox") == 150)

    await until_async(written)


async def test_a_flood_of_small_frames_is_parsed_in_pieces(
    ada: Served, monkeypatch: pytest.MonkeyPatch, protocols: list[Protocol]
) -> None:
    monkeypatch.setattr(pace, "_AT_ONCE", 1e9)
    most = 0
    handle = Protocol.handle_events

    def note(self: Protocol) -> None:
        nonlocal most
        most = max(most, len(self.conn.events))
        handle(self)

    monkeypatch.setattr(Protocol, "handle_events", note)
    client, _ = await ada.hear("ada")
    transport = client.socket.transport
    ping = bytes([0x89, 0x80, 0, 0, 0, 0])
    transport.write(ping * 40_000)
    await client.say(type="ack", seq="nonsense")
    await client.expect("error")
    assert 1 < most <= protocol._PIECE_BYTES // len(ping) + 1


async def test_pings_are_counted_too(ada: Served, monkeypatch: pytest.MonkeyPatch, protocols: list[Protocol]) -> None:
    monkeypatch.setattr(pace, "_AT_ONCE", 10.0)
    monkeypatch.setattr(pace, "_PER_SECOND", 0.001)
    client, _ = await ada.hear("ada")
    answered = 0

    def count(self: Protocol) -> None:
        nonlocal answered
        answered += 1

    monkeypatch.setattr(Protocol, "handle_ping", count)
    client.socket.transport.write(bytes([0x89, 0x80, 0, 0, 0, 0]) * 40_000)

    async def held_back() -> bool:
        return protocols[0].read_paused and answered > 0

    await until_async(held_back)
    await ada.hear("ada")
    assert answered <= protocol._PIECE_BYTES // 6 + 1
    client.socket.transport.abort()


async def test_valid_renewals_cost_one_lookup(ada: Served, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatekeeper, "_FRESH_SECONDS", 600.0)
    key = _store_key(sender)
    client = await ada.open("recipient=ada", key)
    await client.expect("hello")
    for _ in range(50):
        await client.say(type="auth", token=key)
    await client.socket.send("x")
    await client.expect("error")
    assert ada.gatekeeper.lookups == 1


async def test_renewals_with_guesses_end_soon(ada: Served) -> None:
    client, _ = await ada.hear("ada")
    for _ in range(50):
        await client.say(type="auth", token=new_key())
    code, frames = await client.closed()
    assert (code, frames[-1]["code"]) == (4400, "invalid-value")
    assert ada.gatekeeper.lookups <= 25


async def test_who_answers_pings_stays(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(ws_ping_seconds=0.1, ws_pong_seconds=5.0)
    client, _ = await served.hear("ada")
    for _ in range(5):
        await client.expect("tick")
    assert served.gateway.stats().connections == 1


async def test_who_answers_no_ping_is_closed(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(ws_ping_seconds=0.2, ws_pong_seconds=0.2)
    client, _ = await served.hear("ada")
    client.socket.transport.pause_reading()
    await _closed_by_server(served)
    client.socket.transport.resume_reading()
    assert (await client.closed())[0] == 1011


@pytest.mark.plain_loop
async def test_who_answers_no_ping_and_takes_nothing_is_cut_off(
    serve: Serve, sender: Sender, monkeypatch: pytest.MonkeyPatch, protocols: list[Protocol]
) -> None:
    monkeypatch.setattr(protocol, "_LINGER_SECONDS", 0.1)
    sender.register("ada")
    served = await serve(ws_ping_seconds=0.2, ws_pong_seconds=0.2)
    client, _ = await served.hear("ada")
    # As with bytes that the client never takes: closing waits for them.
    monkeypatch.setattr(protocols[0].transport, "close", lambda: None)
    client.socket.transport.pause_reading()
    await _closed_by_server(served)
    client.socket.transport.abort()


async def test_messages_of_more_than_64_kib_in_one_frame_or_many(ada: Served) -> None:
    whole, _ = await ada.hear("ada")
    await whole.socket.send('"' + "x" * 65_534 + '"')
    await whole.expect("error")  # it is understood to be nonsense
    await whole.socket.send("x" * 65_537)
    assert (await whole.closed())[0] == 1009
    parts, _ = await ada.hear("ada")
    await parts.socket.send(["x" * 40_000, "x" * 40_000])
    assert (await parts.closed())[0] == 1009


async def test_deflate_is_not_agreed_to(ada: Served) -> None:
    client = await ada.open("", await ada.token("ada"), compression="deflate")
    await client.expect("hello")
    request, response = client.socket.request, client.socket.response
    assert request is not None
    assert response is not None
    assert "permessage-deflate" in request.headers["Sec-WebSocket-Extensions"]
    assert "Sec-WebSocket-Extensions" not in response.headers


async def test_a_key_that_expires_loses_its_sockets(ada: Served, sender: Sender) -> None:
    client = await ada.open("recipient=ada", _store_key(sender))
    await client.expect("hello")
    sender.db.execute("update notify.api_key set expires_at = notify.now()")
    async with asyncio.timeout(5):
        assert (await client.closed())[0] == 4401


async def test_who_may_not_learns_nothing_of_whom_there_is(serve: Serve, sender: Sender) -> None:
    """The same frames and close for a recipient who is there and one who is not, without a look at the database."""
    sender.register("ada", "bob")
    sender.send("bob", times=3)
    served = await serve(working=False)
    token, writer = await served.token("ada"), _store_key(sender, "schedule")
    assert (await _asked(served, "bob", writer))[0] == 4403  # from here on the key is known

    def looks() -> int:
        return served.gateway.stream._pool.get_stats().get("requests_num", 0)

    before = looks()
    for credential in (token, writer):
        answers = [await _asked(served, who, credential) for who in ("bob", "nobody")]
        assert answers[0] == answers[1]
        assert answers[0][0] == 4403
    assert looks() == before


async def _asked(served: Served, recipient: str, credential: str) -> tuple[Any, ...]:
    client = await served.open(f"recipient={recipient}", credential)
    code, frames = await client.closed()
    return code, client.socket.close_reason, frames


def _store_key(sender: Sender, scope: str = "read") -> str:
    key = new_key()
    sender.db.execute(
        "insert into notify.api_key (name, prefix, hash, scopes, created_at)"
        " values ('k', 'ntf_', %s, %s, notify.now())",
        (key_hash(key), [scope]),
    )
    return key
