"""Apprise confined: what it must not reach, what ends it, and what of it must not be seen, against real connections."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import apprise
import pytest
import requests

from helpers.apprises import HERE, NOWHERE, at, send
from helpers.mail import message
from helpers.receiver import Answer, Receiver
from helpers.wait import until_async
from notify.channels import confined_apprise
from notify.channels.confined import Call, confine
from notify.channels.guard import networks
from notify.channels.services import THREADS, AppriseChannel
from notify.config import Settings

TESTS = Path(__file__).parents[1]


@pytest.fixture
def service() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def working(name: str) -> int:
    """How many threads of a channel there are."""
    return sum(thread.name == f"channel {name}" for thread in threading.enumerate())


@pytest.mark.parametrize("asked", ["", "?redirect=yes", "?redirect=yes&retry=3&optional=yes"])
async def test_no_redirect_is_followed(service: Receiver, asked: str) -> None:
    service.answer(Answer(307, {"Location": f"{service.url}/elsewhere"}), Answer())
    outcome = await send(at(service, f"/hook{asked}"))
    assert (outcome.kind, outcome.code) == ("retry", "http-307")
    assert [got.target for got in service.requests] == ["/hook"]


async def test_nor_for_plugins_that_do_not_ask_for_that(service: Receiver) -> None:
    service.answer(Answer(307, {"Location": f"{service.url}/elsewhere"}), Answer())

    def get() -> int:
        with confine(Call(networks("127.0.0.1"), 10)):
            return requests.get(service.url, timeout=10).status_code

    confined_apprise.load()
    assert await asyncio.to_thread(get) == 307
    assert [got.target for got in service.requests] == ["/"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]"])
async def test_what_is_not_public_is_not_reached(service: Receiver, host: str) -> None:
    outcome = await send(f"json://{host}:{service.port}/", {"outside_allow": "10.0.0.0/8"})
    assert (outcome.kind, outcome.code) == ("final", "blocked")
    assert "loopback" in outcome.detail
    assert service.requests == []


@pytest.mark.parametrize("url", ["mailto://ada:secret@example.org?smtp=127.0.0.1", "irc://127.0.0.1/#room"])
async def test_nor_is_it_without_http(url: str) -> None:
    assert (await send(url, {"apprise_schemes": "mailto,irc", "outside_allow": ""})).code == "blocked"


async def test_proxies_are_not_asked_to_reach_it_instead(service: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", service.url)
    outcome = await send("json://10.0.0.1/")
    assert (outcome.code, service.requests) == ("blocked", [])


@pytest.mark.parametrize("way", ["hang", "stall"])
async def test_a_service_that_does_not_answer_is_given_up(service: Receiver, way: Any) -> None:
    await send(at(service))  # what is loaded at first is not to take the time of the other
    service.answer(Answer(way=way))
    outcome = await send(at(service, "/hook?rto=600&cto=600"), {"send_seconds": 0.4})
    assert (outcome.kind, outcome.code, outcome.unreachable) == ("retry", "timeout", way == "hang")
    await gone(service)


async def test_who_is_cancelled_leaves_no_connection(service: Receiver) -> None:
    service.answer(Answer(way="hang"))
    task = asyncio.create_task(send(at(service)))
    await until_async(lambda: has(len(service.requests) == 1), what="the request")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(service)


async def has(value: bool) -> bool:
    return value


async def gone(service: Receiver) -> None:
    async def ended() -> bool:
        return service.open == 0 and working("apprise") == 0

    await until_async(ended, what="the end of its thread and its connection")


async def test_threads_that_hang_are_bounded(service: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver is what nothing can end."""
    answered, asked, plain = threading.Event(), [], socket.getaddrinfo

    def stuck(host: Any, *rest: Any, **more: Any) -> Any:
        if host == NOWHERE:
            asked.append(host)
            answered.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return plain(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    async with AppriseChannel(Settings(**HERE), "many") as channel:
        late = [asyncio.create_task(channel.send(message(address=f"json://{NOWHERE}/"))) for _ in range(THREADS)]
        await until_async(lambda: has(len(asked) == THREADS), what="all threads")
        for task in late:
            task.cancel()
        await asyncio.wait(late)
        busy = await channel.send(message(address=at(service)))
        assert (busy.kind, busy.code, busy.outage) == ("retry", "busy", True)
        answered.set()
        await until_async(lambda: has(working("many") == 0), what="the end of the threads")
        assert (await channel.send(message(address=at(service)))).kind == "sent"


async def test_an_endless_answer_is_not_read(service: Receiver) -> None:
    service.answer(Answer(way="endless"))
    outcome = await send(at(service))
    assert (outcome.kind, outcome.code) == ("retry", "bad-response")


async def test_secrets_stay_in_the_address(service: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service.answer(Answer(403))
    user, password, path, key = secrets = ("us3rname", "pa55word", "t0ken-in-the-path", "k3y-in-the-query")
    rest = f"{user}:{password}@127.0.0.1:{service.port}/{path}"
    outcomes = [
        await send(f"json://{rest}?+X-Key={key}"),
        await send(f"ntfy://{rest}?click={key}"),
        await send(f"tgram://{user}{password}/{path}?format={key}"),
    ]
    assert [outcome.code for outcome in outcomes] == ["http-403", "http-403", "bad-address"]
    said = "".join(outcome.detail for outcome in outcomes) + caplog.text
    assert [secret for secret in secrets if secret in said] == []


async def test_what_a_plugin_does_at_its_end_is_confined_too(service: Receiver) -> None:
    """Emby logs out when it is collected, which may happen anywhere."""

    def logged_in(asset: apprise.AppriseAsset | None) -> Any:
        made: Any = apprise.Apprise.instantiate(at(service, "/1", "emby").replace("//", "//ada:secret@"), asset=asset)
        made.access_token, made.user_id = "token", "1"
        return made

    def collected(asset: apprise.AppriseAsset | None, call: Call | None) -> list[str]:
        with confine(call) if call else nullcontext():
            plugin = logged_in(asset)
            del plugin
        return [one.target for one in service.requests]

    ours = confined_apprise.load()
    assert await asyncio.to_thread(collected, ours, None) == []
    assert await asyncio.to_thread(collected, ours, Call(networks("127.0.0.1"), 10)) == ["/Sessions/Logout"]
    assert await asyncio.to_thread(collected, None, None) == ["/Sessions/Logout"] * 2


async def test_others_in_the_process_are_left_alone(service: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    assert (await send(at(service), {"outside_allow": ""})).code == "blocked"
    with socket.create_connection(("127.0.0.1", service.port)):
        logging.getLogger("apprise").warning("said by somebody else")
    assert "said by somebody else" in caplog.text
    service.answer(Answer(307, {"Location": f"{service.url}/elsewhere"}), Answer())
    answer = await asyncio.to_thread(requests.get, service.url, timeout=10)
    assert [one.url for one in (*answer.history, answer)] == [f"{service.url}/", f"{service.url}/elsewhere"]


def test_a_thread_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    code = (
        "import asyncio, socket, threading; from helpers.mail import message; from notify.config import Settings\n"
        "from notify.channels import services\n"
        "from notify.channels import confined_apprise\n"
        "confined_apprise.load()\n"
        "socket.getaddrinfo = lambda *given, **named: threading.Event().wait()\n"
        "channel = services.AppriseChannel(Settings(apprise_schemes='json', send_seconds=0.2), 'stuck')\n"
        "print(asyncio.run(channel.send(message(address='json://stuck.example'))).code)\n"
        "print([thread.name for thread in threading.enumerate() if thread.daemon])"
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stdout, done.returncode) == ("timeout\n['channel stuck']\n", 0), done.stderr
