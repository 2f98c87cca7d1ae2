"""Hello, cursors, live frames, and resets."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.conftest import Sender, Serve, Served
from notify.gateway.frames import inbox_item

FIELDS = ["id", "recipient", "batch_id", "type", "priority", "title", "message", "data", "reference"]
FIELDS += ["scheduled_at", "sent_at", "created_at", "expires_at"]


async def test_hello_has_exactly_its_fields(ada: Served, sender: Sender) -> None:
    sender.send("ada", times=2)
    _, hello = await ada.hear("ada", since="now")
    epoch = sender.value("select notify.epoch(generation) from notify.mailbox")
    assert hello == {"type": "hello", "recipient": "ada", "epoch": epoch, "last_seq": 2, "unread": 2}


async def test_live_and_replayed_frames_are_one(ada: Served, sender: Sender) -> None:
    live, _ = await ada.hear("ada")
    await ada.idle()
    sender.db.execute(
        "select notify.schedule('{ada}', 'Über \"x\"', E'a\\nb', type => 'kind', priority => 'high',"
        """ data => '{"n": 0.12345678901234567890123, "e": "é"}', reference => 'r:1', expires_at => now() + '1 day')"""
    )
    sender.drain()
    frame = json.loads(text := str(await live.socket.recv()))
    replayed, _ = await ada.hear("ada", since="0")
    assert await replayed.socket.recv() == text
    item = inbox_item(1, None, text[text.index('{"id"') : -1])
    assert json.loads(msgspec.json.encode(item))["notification"] == frame["notification"]
    assert list(frame) == ["type", "seq", "notification"]
    assert list(frame["notification"]) == FIELDS
    assert '"n": 0.12345678901234567890123' in text
    assert frame["notification"]["sent_at"].endswith("Z")
    assert ada.gateway.stats().content_reads == 1
    row = sender.db.execute(
        "select due_at, sent_at, created_at from notify.notification join notify.batch b on b.id = batch_id"
    )
    times = [frame["notification"][name] for name in ("scheduled_at", "sent_at", "created_at")]
    assert times == [value.isoformat().replace("+00:00", "Z") for value in row.fetchone() or ()]


async def test_cursors(ada: Served, sender: Sender, key: str) -> None:
    sender.send("ada", times=4)
    sender.db.execute(
        "select notify.ack('{ada}', array_agg(m.generation), '{2}') from notify.mailbox m where m.recipient = 'ada'"
    )
    acked, hello = await ada.hear("ada")
    assert await acked.seqs(2) == [3, 4]
    bare, _ = await ada.hear("ada", since="1")
    assert await bare.seqs(3) == [2, 3, 4]
    safe, _ = await ada.hear("ada", since=f"{hello['epoch']}:3")
    assert await safe.seqs(1) == [4]
    now, _ = await ada.hear("ada", since="now")
    by_key = await ada.open("recipient=ada&since=4", key, path="/ws/")
    await by_key.expect("hello")
    await ada.idle()
    sender.send("ada")
    for client in (acked, bare, safe, now, by_key):
        assert await client.seqs(1) == [5]


@pytest.mark.parametrize("cursor", ["5", "EPOCH:5", "ff-1-1:2", "0"])
async def test_impossible_cursors_reset_and_go_on(serve: Serve, sender: Sender, cursor: str) -> None:
    sender.register("ada")
    served = await serve(replay_limit=2)
    sender.send("ada", times=3)
    epoch = sender.value("select notify.epoch(generation) from notify.mailbox")
    client, _ = await served.hear("ada", since=cursor.replace("EPOCH", epoch))
    assert await client.expect("reset") == {"type": "reset", "epoch": epoch, "last_seq": 3, "unread": 3}
    sender.send("ada")
    assert await client.seqs(1) == [4]


async def test_cursor_below_retention_resets(ada: Served, sender: Sender) -> None:
    sender.send("ada", times=3)
    sender.db.execute("update notify.mailbox set floor_seq = 2")
    client, _ = await ada.hear("ada", since="1")
    await client.expect("reset")
    fine, _ = await ada.hear("ada", since="2")
    assert await fine.seqs(1) == [3]


async def test_long_replay_in_pages_meets_live_frames(ada: Served, sender: Sender) -> None:
    for _ in range(300):
        sender.schedule("ada")
    sender.drain()
    client, _ = await ada.hear("ada", since="0")
    sender.send("ada", times=5)
    assert await client.seqs(305) == list(range(1, 306))


async def test_a_burst_larger_than_the_queue_arrives_whole(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(send_queue_frames=10)
    client, _ = await served.hear("ada")
    for _ in range(500):
        sender.schedule("ada")
    sender.drain()
    assert await client.seqs(500) == list(range(1, 501))


async def test_several_sockets_and_two_gateways(serve: Serve, sender: Sender) -> None:
    sender.register("ada", "bob")
    one, two = await serve(), await serve()
    clients = [(await served.hear("ada"))[0] for served in (one, one, two)]
    bob, _ = await two.hear("bob")
    await one.idle()
    await two.idle()
    sender.send("ada", "bob", times=3)
    for client in (*clients, bob):
        assert await client.seqs(3) == [1, 2, 3]
    assert one.gateway.stats().content_reads == 1
    assert one.gateway.stats().connections == 2


async def test_recreated_recipient_resets(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(gateway_poll_seconds=60.0)
    client, hello = await served.hear("ada")
    sender.send("ada", times=2)
    assert await client.seqs(2) == [1, 2]
    with sender.db.transaction():
        sender.db.execute("select notify.delete_recipient('ada')")
        sender.register("ada")
    sender.send("ada", times=3)
    reset = await client.expect("reset")
    assert reset["epoch"] != hello["epoch"]
    assert reset["last_seq"] == 3
    sender.send("ada")
    assert await client.seqs(1) == [4]


async def test_deleted_recipient_is_told(ada: Served, sender: Sender) -> None:
    client, _ = await ada.hear("ada")
    sender.db.execute("select notify.delete_recipient('ada')")
    code, frames = await client.closed()
    assert (code, frames[-1]["code"]) == (4404, "not-found")


async def test_another_cluster_resets_everybody(ada: Served, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    sender.send("ada")
    client, _ = await ada.hear("ada", since="now")
    await ada.idle()
    # As after a failover: the same seqs under another timeline.
    definition = sender.value("select pg_get_functiondef('notify.epoch(bigint)'::regprocedure)")
    sender.db.execute(definition.replace("to_hex(", "'f' || to_hex("))
    _terminate_listener(sender)
    reset = await client.expect("reset")
    assert reset["epoch"].startswith("f")
    sender.send("ada")
    assert await client.seqs(1) == [2]


async def test_ticks_tell_where_the_stream_stands(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(ws_ping_seconds=0.3)
    sender.send("ada", times=2)
    client, _ = await served.hear("ada", since="now")
    assert await client.expect("tick") == {"type": "tick", "last_seq": 2, "unread": 2}
    sender.db.execute("select notify.mark_read('ada', null, 1)")
    ticks: list[dict[str, Any]] = [await client.expect("tick")]
    while ticks[-1]["unread"] == 2:
        ticks.append(await client.expect("tick"))
    assert ticks[-1] == {"type": "tick", "last_seq": 2, "unread": 1}


def _terminate_listener(sender: Sender) -> None:
    assert sender.value(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where application_name = 'notify-listener' and datname = current_database()"
    )
