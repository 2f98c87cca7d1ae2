"""`notify listen` misses nothing while its connection is broken."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.conftest import Sender, Serve
from helpers.wait import until_async
from notify.cli import listen
from notify.config import Settings
from notify.supervise import end


async def test_now_is_when_it_was_first_connected(
    serve: Serve,
    sender: Sender,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sender.register("ada")
    sender.schedule("ada", title="before")
    sender.drain()
    served = await serve()
    said: list[str] = []

    async def says(text: str) -> None:
        async def there() -> bool:
            said.append(capsys.readouterr().out)
            return text in "".join(said)

        await until_async(there, what=text)

    def while_nobody_is_connected(*args: float) -> float:
        sender.schedule("ada", title="meanwhile")
        sender.drain()
        return 0.0

    monkeypatch.setattr(listen, "backoff", while_nobody_is_connected)
    at = msgspec.structs.replace(settings, url=f"http://127.0.0.1:{served.port}")
    listener = asyncio.create_task(listen._Listener(at, "ada", "now", json=False).run())
    try:
        await says("connected")
        await served.idle()
        (connection,) = served.gateway._hub
        connection._abort()
        await says("meanwhile")
    finally:
        await end(listener)
    assert "before" not in "".join(said)
