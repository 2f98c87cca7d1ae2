"""Who gets a socket, what may be said on it, and every close code."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.conftest import Client, Sender, Serve, Served
from helpers.wait import until_async
from notify.access import key_hash, new_key
from notify.places import address_of

BURST = 4 * 2**20


async def _refused(client: Client) -> tuple[int, str]:
    code, frames = await client.closed()
    assert [frame["type"] for frame in frames] == ["error"]
    assert list(frames[0]) == ["type", "code", "detail"]
    return code, frames[0]["code"]


def _store_key(sender: Sender, scope: str) -> str:
    key = new_key()
    sender.db.execute(
        "insert into notify.api_key (name, prefix, hash, scopes, created_at)"
        " values ('k', 'ntf_', %s, %s, notify.now())",
        (key_hash(key), [scope]),
    )
    return key


async def test_every_way_to_show_a_credential(ada: Served, key: str) -> None:
    token = await ada.token("ada")
    by_scheme = await ada.open(headers={"Authorization": f"Token {token}"})
    by_subprotocol = await ada.open(subprotocols=["notify.v1", f"bearer.{token}"])
    assert by_subprotocol.socket.subprotocol == "notify.v1"
    key_by_subprotocol = await ada.open("recipient=ada", subprotocols=["notify.v1", f"bearer.{key}"])
    by_message = await ada.open()
    await by_message.say(type="auth", token=token)
    key_by_message = await ada.open("recipient=ada")
    await key_by_message.say(type="auth", token=key)
    for client in (by_scheme, by_subprotocol, key_by_subprotocol, by_message, key_by_message):
        assert (await client.expect("hello"))["recipient"] == "ada"


async def test_credentials_that_do_not_hold(ada: Served) -> None:
    for credential in ("nonsense", new_key(), await ada.token("ada", ttl=-5), f"{await ada.token('ada')}x"):
        assert await _refused(await ada.open("recipient=ada", credential)) == (4401, "not-authenticated")
    assert await _refused(await ada.open(headers={"Authorization": "Basic x"})) == (4401, "not-authenticated")
    for message in ("nonsense", '{"type":"ack","seq":1}', '{"type":"auth"}', b"\xff"):
        client = await ada.open()
        await client.socket.send(message)
        assert await _refused(client) == (4401, "not-authenticated")


async def test_silence_is_not_waited_for_for_long(serve: Serve) -> None:
    served = await serve(ws_auth_timeout=0.2)
    assert await _refused(await served.open()) == (4401, "not-authenticated")


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "Authorization"])
async def test_credentials_in_the_url_are_refused(ada: Served, name: str) -> None:
    client = await ada.open(f"{name}={await ada.token('ada')}")
    code, frames = await client.closed()
    assert code == 4400
    assert "URL" in frames[0]["detail"]


@pytest.mark.parametrize(
    "query",
    ["since=", "since=x", "since=-1", "since=1.5", f"since={2**63}", "since=a:b:1", "since=1&since=2", "sinc=1"],
)
async def test_malformed_queries(ada: Served, query: str) -> None:
    assert await _refused(await ada.open(query, await ada.token("ada"))) == (4400, "invalid-value")


async def test_whose_stream(ada: Served, sender: Sender, key: str) -> None:
    assert await _refused(await ada.open("recipient=bob", await ada.token("ada"))) == (4403, "not-allowed")
    assert await _refused(await ada.open("", key)) == (4400, "invalid-value")
    assert await _refused(await ada.open("recipient=bob", key)) == (4404, "not-found")
    assert await _refused(await ada.open("recipient=a%00b", key)) == (4404, "not-found")
    assert await _refused(await ada.open("", await ada.token("bob"))) == (4404, "not-found")
    writer = _store_key(sender, "schedule")
    assert await _refused(await ada.open("recipient=ada", writer)) == (4403, "not-allowed")


async def test_origins(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(allowed_origins="https://app.example, https://other.example/")
    token = await served.token("ada")
    for origin in (f"http://127.0.0.1:{served.port}", "https://app.example", "https://OTHER.example"):
        await (await served.open("", token, headers={"Origin": origin})).expect("hello")
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "https://app.example.evil"):
        client = await served.open("", token, headers={"Origin": origin})
        assert await _refused(client) == (4403, "not-allowed")


async def test_an_origin_that_is_no_url(ada: Served) -> None:
    client = await ada.open(credential=await ada.token("ada"), headers={"Origin": "http://["})
    assert (await client.closed())[0] == 4403


async def test_those_without_a_credential_lock_out_nobody(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(max_unauthenticated=3)
    silent = [await served.open() for _ in range(3)]
    assert await _refused(await served.open()) == (4429, "too-many-requests")
    guest = await served.open(credential=await served.token("ada"))
    await guest.expect("hello")
    await silent[0].say(type="auth", token=await served.token("ada"))
    await silent[0].expect("hello")
    await (await served.open()).say(type="auth", token="its place is free")


async def test_one_address_takes_not_all_places_of_those_without_a_credential(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(max_unauthenticated=100, max_unauthenticated_per_address=2)
    for _ in range(2):
        await served.open()
    assert await _refused(await served.open()) == (4429, "too-many-requests")
    # Another host, as a proxy on this one tells.
    elsewhere = await served.open(headers={"X-Forwarded-For": "192.0.2.7"})
    await elsewhere.say(type="auth", token=await served.token("ada"))
    await elsewhere.expect("hello")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/notify.sock", "/run/notify.sock"),
    ],
)
def test_the_address_of_a_peer(host: str, address: str) -> None:
    assert address_of({"client": (host, 1)}) == address
    assert address_of({"client": None}) == address_of({}) == ""


async def test_http_is_told_to_upgrade(ada: Served) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{ada.port}/ws")).status_code == 426


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_recipient", "max_connections_per_key"])
async def test_limits(serve: Serve, sender: Sender, key: str, limit: str) -> None:
    sender.register("ada")
    served = await serve(**{limit: 2})
    held = [await served.open("recipient=ada", key) for _ in range(2)]
    for client in held:
        await client.expect("hello")
    assert await _refused(await served.open("recipient=ada", key)) == (4429, "too-many-requests")
    await held[0].socket.close()

    async def room() -> bool:
        return served.gateway.stats().connections == 1

    await until_async(room)
    await (await served.open("recipient=ada", key)).expect("hello")


async def test_nonsense_is_answered_and_a_flood_of_it_ends(ada: Served, sender: Sender) -> None:
    client, _ = await ada.hear("ada")
    for message in (
        "",
        "{",
        "[]",
        '{"type":"x"}',
        '{"type":"ack"}',
        '{"type":"ack","seq":-1}',
        '{"type":"ack","seq":"1"}',
    ):
        await client.socket.send(message)
        assert (await client.expect("error"))["code"] == "invalid-value"
    await client.socket.send("[" * 60_000)
    await client.expect("error")
    await client.socket.send(b'{"type":"ack","seq":1,"x":1}')
    await client.expect("error")
    sender.send("ada")
    assert await client.seqs(1) == [1]
    for _ in range(30):
        await client.socket.send("x")
    code, frames = await client.closed()
    assert (code, frames[-1]["code"]) == (4400, "invalid-value")


async def test_big_messages_end_the_connection(ada: Served) -> None:
    client, _ = await ada.hear("ada")
    await client.socket.send("x" * 65_537)
    assert (await client.closed())[0] == 1009


async def test_renewal(ada: Served, sender: Sender) -> None:
    client = await ada.open("", await ada.token("ada", ttl=2))
    await client.expect("hello")
    await client.say(type="auth", token="nonsense")
    assert (await client.expect("error"))["code"] == "not-authenticated"
    await client.say(type="auth", token=await ada.token("ada"))
    expiring = await ada.open("", await ada.token("ada", ttl=2))
    await expiring.expect("hello")
    assert await _refused(expiring) == (4401, "not-authenticated")  # meanwhile the first one's time was over too
    sender.send("ada")
    assert await client.seqs(1) == [1]
    await client.say(type="auth", token=await ada.token("bob"))
    assert await _refused(client) == (4403, "not-allowed")


async def test_revoked_keys_lose_their_sockets(ada: Served, sender: Sender, key: str) -> None:
    reader = _store_key(sender, "read")
    held = [await ada.open("recipient=ada", reader) for _ in range(3)]
    stays = await ada.open("recipient=ada", key)
    for client in (*held, stays):
        await client.expect("hello")
    sender.db.execute("update notify.api_key set revoked_at = notify.now()")
    async with asyncio.timeout(5):
        for client in held:
            assert await _refused(client) == (4401, "not-authenticated")
    sender.send("ada")
    assert await stays.seqs(1) == [1]
    assert ada.gateway.stats().credentials_closed == 3


async def test_a_client_that_never_reads_is_closed(serve: Serve, sender: Sender) -> None:
    sender.register("ada", "bob")
    served = await serve(send_timeout=0.5)
    slow, _ = await served.hear("ada", max_queue=1)
    slow.socket.transport.pause_reading()
    other, _ = await served.hear("bob")
    await served.idle()
    sender.db.execute(
        "select notify.schedule('{ada}', 't', repeat('x', 16000)) from generate_series(1, %s)", (BURST // 4000,)
    )
    sender.drain()
    sender.send("bob")
    assert await other.seqs(1) == [1]

    async def gone() -> bool:
        return served.gateway.stats().slow_closed == 1

    await until_async(gone)
    slow.socket.transport.resume_reading()
    code, frames = await slow.closed()
    assert (code, frames[-1]["code"]) == (4408, "too-slow")
    last = frames[-2]["seq"]
    assert [frame["seq"] for frame in frames[:-1]] == list(range(1, last + 1))
    again, _ = await served.hear("ada", since=str(last))
    assert await again.seqs(1) == [last + 1]
    again.socket.transport.abort()  # a closing handshake would first read all the rest


async def test_a_client_that_does_not_take_its_close_is_cut_off(
    serve: Serve, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify.gateway.connection._LINGER_SECONDS", 0.2)
    sender.register("ada")
    served = await serve(send_timeout=0.2)
    slow, _ = await served.hear("ada", max_queue=1)
    slow.socket.transport.pause_reading()
    await served.idle()
    sender.db.execute(
        "select notify.schedule('{ada}', 't', repeat('x', 16000)) from generate_series(1, %s)", (BURST // 4000,)
    )
    sender.drain()

    async def gone() -> bool:
        return served.gateway.stats().slow_closed == 1 and served.gateway.stats().connections == 0

    await until_async(gone)
    slow.socket.transport.resume_reading()
    assert (await slow.closed())[0] == 1006


async def test_restart_closes_all_with_1012(ada: Served, sender: Sender) -> None:
    sender.send("ada", times=2)
    clients = [(await ada.hear("ada", since="now"))[0] for _ in range(3)]
    await clients[0].say(type="ack", seq=1)
    stranger = await ada.open()
    await ada.idle()

    async def heard() -> bool:
        return bool(ada.gateway.acks._pending) or ada.gateway.stats().acks_written > 0

    await until_async(heard)
    await ada.gateway.close()
    for client in clients:
        assert await client.closed() == (1012, [])
    assert sender.value("select acked_seq from notify.mailbox") == 1
    await stranger.say(type="auth", token=await ada.token("ada"))
    assert (await stranger.closed())[0] == 1012
    assert (await (await ada.open("", await ada.token("ada"))).closed())[0] == 1012


async def test_a_client_that_vanishes_leaves_nothing(ada: Served) -> None:
    client, _ = await ada.hear("ada")
    client.socket.transport.abort()
    with pytest.raises(ConnectionClosed):
        await client.socket.recv()

    async def gone() -> bool:
        return ada.gateway.stats().connections == 0 and not len(ada.gateway._hub) and not ada.gateway._hub.recipients()

    await until_async(gone)
