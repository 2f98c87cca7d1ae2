"""Acks are gathered, clipped, never go back, and wait for locked mailboxes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.conftest import Sender, Serve, Served
from helpers.wait import until_async
from notify.gateway import acks as acks_module
from notify.gateway.acks import Acks


async def _acked(sender: Sender, recipient: str, seq: int) -> None:
    async def there() -> bool:
        return bool(sender.value("select acked_seq = %s from notify.mailbox where recipient = %s", seq, recipient))

    await until_async(there, what=f"{recipient} acked {seq}")


async def test_acks_are_cumulative_and_clipped_and_never_go_back(ada: Served, sender: Sender) -> None:
    sender.send("ada", times=5)
    one, _ = await ada.hear("ada")
    two, _ = await ada.hear("ada")
    for seq in (1, 2, 3):
        await one.say(type="ack", seq=seq)
    await two.say(type="ack", seq=1)
    await _acked(sender, "ada", 3)
    await one.say(type="ack", seq=2)
    await two.say(type="ack", seq=2**63 - 1)
    await _acked(sender, "ada", 5)
    assert ada.gateway.stats().acks_written <= 4
    assert sender.value("select unread from notify.mailbox") == 5
    resumed, _ = await ada.hear("ada")
    sender.send("ada")
    assert await resumed.seqs(1) == [6]


async def test_a_locked_mailbox_keeps_only_its_own_ack_waiting(serve: Serve, sender: Sender, connect: object) -> None:
    sender.register("ada", "bob")
    served = await serve()
    sender.send("ada", "bob", times=2)
    assert callable(connect)
    other = connect(autocommit=False)
    other.execute("select from notify.mailbox where recipient = 'ada' for update")
    for name in ("ada", "bob"):
        client, _ = await served.hear(name, since="now")
        await client.say(type="ack", seq=2)
    await _acked(sender, "bob", 2)
    assert sender.value("select acked_seq from notify.mailbox where recipient = 'ada'") == 0
    other.rollback()
    await _acked(sender, "ada", 2)


async def test_who_leaves_and_comes_back_is_not_sent_again_what_was_acknowledged(
    ada: Served, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks_module, "FLUSH_SECONDS", 60.0)
    sender.send("ada", times=3)
    first, _ = await ada.hear("ada")
    await first.seqs(3)
    await ada.gateway.acks.flush()
    await first.say(type="ack", seq=3)
    await first.socket.close()
    await _acked(sender, "ada", 3)
    second, _ = await ada.hear("ada")
    sender.send("ada")
    assert await second.seqs(1) == [4]


async def test_one_that_comes_before_hello_counts(ada: Served, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    sender.send("ada", times=3)
    page, go = ada.gateway.stream.page, asyncio.Event()

    async def held(*args: Any) -> Any:
        await go.wait()
        return await page(*args)

    monkeypatch.setattr(ada.gateway.stream, "page", held)
    client = await ada.open("since=now", await ada.token("ada"))
    await client.say(type="ack", seq=3)
    go.set()
    await client.expect("hello")
    await _acked(sender, "ada", 3)


async def test_an_ack_does_not_reach_the_stream_of_one_made_anew(ada: Served, sender: Sender) -> None:
    sender.send("ada", times=3)
    generation = sender.value("select generation from notify.mailbox")
    sender.value("select notify.delete_recipient('ada')")
    sender.register("ada")
    sender.send("ada", times=2)
    ada.gateway.acks.put("ada", generation, 3)
    await ada.gateway.acks.flush()
    assert not ada.gateway.acks._pending
    anew, _ = await ada.hear("ada")
    assert await anew.seqs(2) == [1, 2]


async def test_one_that_comes_during_a_write_is_kept(
    ada: Served, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.send("ada", times=5)
    generation = sender.value("select generation from notify.mailbox")
    acks = ada.gateway.acks
    acknowledge = acks_module.acknowledge

    async def meanwhile(*args: Any) -> list[str]:
        acks.put("ada", generation, 5)
        return await acknowledge(*args)

    with monkeypatch.context() as patched:
        patched.setattr(acks_module, "acknowledge", meanwhile)
        acks.put("ada", generation, 3)
        await acks.flush()
    assert acks._pending == {("ada", generation): 5}
    await _acked(sender, "ada", 5)


async def test_acks_of_nobody_are_given_up_after_a_time_however_often_they_are_tried(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve(working=False)
    acks = served.gateway.acks
    acks.put("nobody", 1, 5)
    for _ in range(200):
        await acks.flush()
    assert acks._pending
    monkeypatch.setattr(acks_module, "_TRY_SECONDS", 0.0)
    await acks.flush()
    assert not acks._pending
    assert not acks._trying_since


async def test_those_who_wait_are_bounded(serve: Serve) -> None:
    acks: Acks = (await serve(working=False)).gateway.acks
    for number in range(100_001):
        acks.put(str(number), 1, 1)
    assert len(acks._pending) == 100_000
