"""Signals that come late, twice, mangled or never: every stream still arrives whole and in order."""

from __future__ import annotations

import os
import random
import signal

import pytest

from gateway.conftest import Sender, Serve, Served
from helpers.wait import until_async
from notify.gateway.signals import parse

SLOW_POLL = 60.0


async def test_out_of_order_and_double(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(gateway_poll_seconds=SLOW_POLL)
    client, _ = await served.hear("ada")
    await served.idle()
    for _ in range(200):
        sender.schedule("ada")
    sender.drain(signal=False)
    lines = sender.signal_lines("ada")
    random.Random(5).shuffle(lines)
    sender.signal(*lines, *lines[:50])
    assert await client.seqs(200) == list(range(1, 201))
    sender.send("ada")
    assert await client.seqs(1) == [201]


async def test_a_missing_signal_is_filled_by_the_next(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(gateway_poll_seconds=SLOW_POLL)
    client, _ = await served.hear("ada")
    await served.idle()
    sender.send("ada", times=3, signal=False)
    sender.send("ada")
    assert await client.seqs(4) == [1, 2, 3, 4]


async def test_without_any_signal_the_poll_finds_all(ada: Served, sender: Sender) -> None:
    client, _ = await ada.hear("ada")
    await ada.idle()
    sender.send("ada", times=3, signal=False)
    assert await client.seqs(3) == [1, 2, 3]
    assert ada.gateway.stats().resyncs == 1


async def test_signals_that_lie_change_nothing(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(gateway_poll_seconds=SLOW_POLL)
    client, _ = await served.hear("ada")
    await served.idle()
    sender.send("ada", signal=False)
    (line,) = sender.signal_lines("ada")
    fields = line.split("\t")
    sender.signal("\t".join([fields[0], fields[1], "1000", *fields[3:]]))
    sender.signal("\t".join([fields[0], "99", "2", *fields[3:]]))
    for payload in ("", "sent", "sent\tx", "other\t1", "sent\t1\nada", "sent\t1\nada\t1\tx\t1\t1\t1"):
        sender.ring(payload)
    sender.send("ada")
    assert await client.seqs(2) == [1, 2]


async def test_content_that_is_gone_is_read_from_rows(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(gateway_poll_seconds=SLOW_POLL)
    client, _ = await served.hear("ada")
    await served.idle()
    sender.send("ada", signal=False)
    fields = sender.signal_lines("ada")[0].split("\t")
    sender.signal("\t".join([*fields[:4], "999", *fields[5:]]))
    assert await client.seqs(1) == [1]


async def test_listener_terminated(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(gateway_poll_seconds=SLOW_POLL)
    client, _ = await served.hear("ada")
    await served.idle()
    with sender.db.transaction():
        sender.send("ada", times=2)
        os.kill(_listener_pid(sender), signal.SIGTERM)
    assert await client.seqs(2) == [1, 2]

    async def back() -> bool:
        return served.gateway.ready and served.gateway.stats().listen_sessions == 2

    await until_async(back)
    sender.send("ada")
    assert await client.seqs(1) == [3]


async def test_listener_frozen(serve: Serve, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify.gateway.listener._PROBE_AFTER_SECONDS", 0.2)
    monkeypatch.setattr("notify.gateway.listener._PROBE_SECONDS", 0.3)
    sender.register("ada")
    served = await serve(gateway_poll_seconds=SLOW_POLL)
    client, _ = await served.hear("ada")
    await served.idle()
    frozen = _listener_pid(sender)
    os.kill(frozen, signal.SIGSTOP)
    try:
        sender.send("ada", times=2)
        assert await client.seqs(2) == [1, 2]
    finally:
        os.kill(frozen, signal.SIGCONT)


async def test_a_flood_is_dropped_and_compared(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve(gateway_poll_seconds=SLOW_POLL)
    client, _ = await served.hear("ada")
    await served.idle()
    sender.send("ada", times=3, signal=False)
    for _ in range(2001):
        served.gateway._signals.put("sent\t1")
    assert served.gateway.stats().signals_dropped == 2000
    assert await client.seqs(3) == [1, 2, 3]


def test_only_wanted_lines_are_read() -> None:
    payload = "sent\t1000\nada\t1\t2\t3\t4\t100\nbob\tnonsense"
    (line,) = parse(payload, {"ada"})
    assert line == ("ada", 1, 2, 3, 4, 900, 1000)
    with pytest.raises(ValueError, match="values to unpack"):
        parse(payload, {"bob"})


def _listener_pid(sender: Sender) -> int:
    pid = sender.value(
        "select pid from pg_stat_activity where application_name = 'notify-listener' and datname = current_database()"
    )
    assert isinstance(pid, int)
    return pid
