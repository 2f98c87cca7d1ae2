"""Channels by Apprise, against services on loopback: what arrives, what each failure becomes, and what is never reached."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from helpers.extensions import message
from helpers.wait import until_async
from notify.channels.confined import UNCONFINED
from notify.channels.protocol import Outcome
from notify.channels.services import THREADS, AppriseChannel, check_settings
from notify.config import Settings
from notify.errors import ConfigError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HERE: dict[str, Any] = {"apprise_schemes": "json,ntfy,slack,tgram", "outside_allow": "127.0.0.0/8"}
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/general"


class Service:
    """An HTTP service that gives every request the same answer, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answer = OK
        self.hangs = False
        """Whether it says no more after its answer, and keeps the connection."""
        self.got: list[tuple[str, bytes]] = []
        """First line and body of each request."""
        self.port = 0
        self.ended = 0
        """Connections that the other side has ended while it hung."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line.split(":")[1]) for line in head.lower().splitlines() if "content-length" in line), 0)
        self.got.append((head.splitlines()[0], await reader.readexactly(length)))
        writer.write(self.answer)
        if self.hangs:
            await reader.read()
            self.ended += 1
        writer.close()

    def url(self, scheme: str = "json", rest: str = "/hook") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{rest}"


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


async def send(address: Any, settings: dict[str, Any] | None = None, **changes: Any) -> Outcome:
    async with AppriseChannel(Settings(**HERE | (settings or {})), "apprise") as channel:
        return await channel.send(message(address=address, **changes))


def working(name: str) -> int:
    return sum(thread.name == f"channel {name}" for thread in threading.enumerate())


async def test_it_arrives(service: Service) -> None:
    assert await send(service.url()) == Outcome(kind="sent")
    line, body = service.got[0]
    assert line == "POST /hook HTTP/1.1"
    got = json.loads(body)
    assert (got["title"], got["message"], got["type"]) == ("Coffee", "It is ready", "info")


async def test_it_arrives_at_another_service(service: Service) -> None:
    assert (await send({"url": service.url("ntfy", "/coffee")}, priority="urgent")).kind == "sent"
    got = json.loads(service.got[0][1])
    assert (got["topic"], got["title"], got["message"]) == ("coffee", "Coffee", "It is ready")


@pytest.mark.parametrize(("priority", "kind"), [("low", "info"), ("high", "warning"), ("urgent", "warning")])
async def test_what_is_pressing_is_a_warning(service: Service, priority: str, kind: str) -> None:
    await send(service.url(), priority=priority)
    assert json.loads(service.got[0][1])["type"] == kind


async def test_html_goes_to_services_that_take_it(service: Service) -> None:
    page = "<p>It is <b>ready</b></p>"
    await send(service.url(), html=page)
    await send(service.url("ntfy", "/coffee"), html=page)
    messages = [json.loads(body)["message"] for _, body in service.got]
    assert messages == [page, "It is ready"]


async def test_without_a_message_the_title_is_sent(service: Service) -> None:
    assert (await send(service.url(), message="")).kind == "sent"
    assert json.loads(service.got[0][1])["message"] == "Coffee"


async def test_the_status_is_the_code(service: Service) -> None:
    service.answer = b"HTTP/1.1 503 Down\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"
    outcome = await send(service.url())
    assert (outcome.kind, outcome.code, outcome.retry_after, outcome.outage) == ("retry", "http-503", 120.0, False)
    assert "503" in outcome.detail


@pytest.mark.parametrize("asked", ["", "?redirect=yes", "?redirect=yes&retry=3&optional=yes"])
async def test_no_redirect_is_followed(service: Service, asked: str) -> None:
    service.answer = (
        f"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:{service.port}/x\r\nContent-Length: 0\r\n\r\n".encode()
    )
    outcome = await send(service.url(rest=f"/hook{asked}"))
    assert (outcome.kind, outcome.code) == ("retry", "http-307")
    assert [line for line, _ in service.got] == ["POST /hook HTTP/1.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433"])
async def test_what_is_not_public_is_not_reached(service: Service, host: str) -> None:
    outcome = await send(f"json://{host}:{service.port}/", {"outside_allow": "10.0.0.0/8"})
    assert (outcome.kind, outcome.code) == ("final", "blocked")
    assert "loopback" in outcome.detail
    assert service.got == []


async def test_proxies_are_not_asked_to_reach_it_instead(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", service.url("http", ""))
    outcome = await send("json://10.0.0.1/")
    assert (outcome.code, service.got) == ("blocked", [])


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("syslog://", "scheme-not-allowed"),
        ("JSONS://example.org", "scheme-not-allowed"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "scheme-not-allowed"),
        ("file:///etc/passwd", "scheme-not-allowed"),
        ("json://", "bad-address"),
        ("tgram://no-such-token/1", "bad-address"),
        ("example.org", "bad-address"),
        ({"to": "ada"}, "bad-address"),
        (f"{SLACK}?template=/etc/hostname", "bad-address"),
    ],
)
async def test_addresses_that_are_refused(address: Any, code: str) -> None:
    outcome = await send(address)
    assert (outcome.kind, outcome.code) == ("final", code)
    assert outcome.detail


async def test_a_service_that_does_not_answer_is_given_up(service: Service) -> None:
    service.answer, service.hangs = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", True
    outcome = await send(service.url(rest="/hook?rto=600&cto=600"), {"send_seconds": 0.5})
    assert (outcome.kind, outcome.code) == ("retry", "timeout")
    await until_async(lambda: ended(service), what="its thread and its connection end")


async def ended(service: Service) -> bool:
    return service.ended == 1 and working("apprise") == 0


async def test_who_is_cancelled_leaves_no_connection(service: Service) -> None:
    service.answer, service.hangs = b"", True
    task = asyncio.create_task(send(service.url()))
    await until_async(lambda: arrived(service))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_async(lambda: ended(service), what="its thread and its connection end")


async def arrived(service: Service) -> bool:
    return bool(service.got)


async def test_threads_that_hang_are_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver is what nothing can end."""
    await send(service.url())  # what is loaded at first is not to take the time of the others
    answered, plain = threading.Event(), socket.getaddrinfo

    def stuck(host: Any, *rest: Any, **more: Any) -> Any:
        if host == "stuck.example":
            answered.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return plain(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    async with AppriseChannel(Settings(**HERE, send_seconds=0.2), "many") as channel:
        stuck_message = message(address="json://stuck.example/")
        late = await asyncio.gather(*(channel.send(stuck_message) for _ in range(THREADS)))
        assert {outcome.code for outcome in late} == {"timeout"}
        busy = await channel.send(message(address=service.url()))
        assert (busy.kind, busy.code, busy.outage) == ("retry", "busy", True)
        answered.set()
        await until_async(nobody, what="the threads end")
        assert (await channel.send(message(address=service.url()))).kind == "sent"


async def nobody() -> bool:
    return working("many") == 0


async def test_an_endless_answer_is_not_read(service: Service) -> None:
    service.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 2_000_000
    service.hangs = True
    outcome = await send(service.url())
    assert (outcome.kind, outcome.code) == ("retry", "bad-response")


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = await send(f"json://127.0.0.1:{free.getsockname()[1]}/")
    assert (outcome.kind, outcome.code) == ("retry", "connect")
    assert "127.0.0.1" in outcome.detail


async def test_secrets_stay_in_the_address(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service.answer = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    secrets = ["us3rname", "pa55word", "t0ken-in-the-path", "k3y-in-the-query"]
    user, password, path, key = secrets
    where = f"{user}:{password}@127.0.0.1:{service.port}/{path}"
    outcomes = [
        await send(f"json://{where}?+X-Key={key}"),
        await send(f"ntfy://{where}?click={key}"),
        await send(f"tgram://{user}{password}/{path}?format={key}"),
        await send(f"json://{user}:{password}@{path}.invalid/?+X-Key={key}"),
    ]
    said = " ".join(outcome.detail for outcome in outcomes) + caplog.text
    assert [outcome.code for outcome in outcomes[:2]] == ["http-403", "http-403"]
    assert {secret for secret in (user, password, key) if secret in said} == set()
    assert path not in outcomes[0].detail + outcomes[1].detail + outcomes[2].detail + caplog.text


async def test_in_staging_all_go_to_one_url(service: Service) -> None:
    settings = {"redirect_apprise": service.url(rest="/staging"), "apprise_schemes": "slack"}
    assert (await send(SLACK, settings)).kind == "sent"
    assert service.got[0][0] == "POST /staging HTTP/1.1"


async def test_others_in_the_process_are_left_alone(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    await send(service.url(), {"outside_allow": ""})
    with socket.create_connection(("127.0.0.1", service.port)):
        pass
    logging.getLogger("apprise").warning("said by somebody else")
    assert "said by somebody else" in caplog.text


def test_nothing_is_loaded_before_the_first_message() -> None:
    code = (
        "import sys, notify.channels.registry as r; from notify.config import Settings\n"
        "r.build(Settings(), lambda message: None)\n"
        "print(sorted({'apprise', 'requests', 'urllib3'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_schemes_that_are_allowed_exist() -> None:
    import apprise  # noqa: PLC0415 - takes a second

    known = set(apprise.NotificationManager().schemas())
    assert set(Settings().apprise_schemes.split(",")) <= known
    assert known >= UNCONFINED


@pytest.mark.parametrize(
    "settings",
    [
        {"apprise_channels": "SMS"},
        {"apprise_channels": "sms,sms"},
        {"apprise_channels": "inbox"},
        {"apprise_schemes": "slack;ntfys"},
        {"apprise_schemes": "slack,xmpp"},
        {"redirect_apprise": "nowhere"},
        {"redirect_apprise": "syslog://"},
        {"outside_allow": "here"},
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_"):
        check_settings(Settings(**settings))
