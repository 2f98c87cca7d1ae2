"""What sockets see of faults that are not theirs.

An error of the server's own closes with 1011, is not told in detail, and leaves nothing behind; a database that is
away refuses who comes and is waited for by who is there.
"""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.conftest import Client, Sender, Serve, Served
from helpers.wait import until_async


def _broken(*args: Any) -> Any:
    raise RuntimeError("the detail")


async def _ends(client: Client, served: Served) -> None:
    """The socket closes with 1011 and its error, and is forgotten."""
    code, frames = await client.closed()
    assert code == 1011
    assert frames[-1] == {"type": "error", "code": "internal", "detail": "internal error; connect again"}

    async def gone() -> bool:
        return served.gateway.stats().connections == 0 and not len(served.gateway._hub)

    await until_async(gone)


def _told(logs: list[Any]) -> list[str]:
    return [log["event"] for log in logs if log["log_level"] == "error" and log.get("exc_info")]


async def test_while_a_socket_is_admitted(ada: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await ada.token("ada")
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(ada.gatekeeper, "admit", _broken)
        await _ends(await ada.open(credential=token), ada)
    assert _told(logs) == ["socket not admitted"]
    await (await ada.open(credential=token)).expect("hello")


async def test_while_rows_are_read(ada: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ada.gateway.stream, "page", _broken)
    with capture_logs() as logs:
        await _ends(await ada.open(credential=await ada.token("ada")), ada)
    assert _told(logs) == ["connection failed"]


@pytest.mark.parametrize("part", ["gatekeeper.admit", "acks.put"])
async def test_while_a_message_is_obeyed(ada: Served, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    client, _ = await ada.hear("ada")
    token = await ada.token("ada")
    owner, _, name = part.partition(".")
    monkeypatch.setattr(getattr(ada.gateway, owner), name, _broken)
    with capture_logs() as logs:
        await client.say(type="ack", seq=1)
        await client.say(type="auth", token=token)
        await _ends(client, ada)
    assert _told(logs) == ["message not obeyed"]


async def test_no_database_no_hello(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve()
    token = await served.token("ada")
    sender.db.execute("alter table notify.mailbox rename to mislaid")
    code, frames = await (await served.open("", token)).closed()
    assert (code, [frame["code"] for frame in frames]) == (1013, ["unavailable"])
    sender.db.execute("alter table notify.mislaid rename to mailbox")
    await (await served.open("", token)).expect("hello")


async def test_live_sockets_outlive_a_broken_database(serve: Serve, sender: Sender) -> None:
    sender.register("ada")
    served = await serve()
    client, _ = await served.hear("ada")
    await served.idle()
    sender.send("ada", times=2, signal=False)
    sender.db.execute("alter table notify.batch rename to mislaid")

    async def behind() -> bool:
        return any(c.position.behind for c in served.gateway._hub)

    await until_async(behind)
    sender.db.execute("alter table notify.mislaid rename to batch")
    assert await client.seqs(2) == [1, 2]
