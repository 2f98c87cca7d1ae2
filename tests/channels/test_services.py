"""Channels by Apprise, against services on loopback: what arrives, what each failure becomes, what is never reached."""

from __future__ import annotations

import asyncio
import io
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
from requests.adapters import HTTPAdapter
from urllib3.response import HTTPResponse

from helpers.mail import message
from helpers.receiver import Answer, Receiver
from helpers.wait import until_async
from notify.channels import confined_apprise
from notify.channels.confined import UNCONFINED, Call, confine
from notify.channels.guard import networks
from notify.channels.protocol import Outcome
from notify.channels.services import THREADS, AppriseChannel, check_settings
from notify.config import Settings
from notify.errors import ConfigError

HERE: dict[str, Any] = {"apprise_schemes": "json,ntfy,slack,tgram", "outside_allow": "127.0.0.0/8"}
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/general"
ALLOWED = [
    "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "gchat://workspace/key12345/token12345",
    "mailgun://user@example.org/abc12345-abc12345-abc",
    "ntfys://ada-lessons",
    f"pbul://{'a' * 32}",
    f"pover://{'u' * 30}@{'t' * 30}",
    "sendgrid://SGabcdefg:from@example.org/to@example.org",
    "signals://signal.example.org/+447700900123/+447700900456",
    "slack://xoxb-1234-1234-abc124/#general",
    "sns://AKIAIOSFODNN7EXAMPLE/wJalrXUtnFEMI/us-east-1/+18001234567",
    "tgram://123456789:abcdefg_hijklmnop/12315544",
    f"twilio://AC{'0' * 32}:{'1' * 32}@+15551234567/+15557654321",
    f"vonage://abcdefgh:{'a' * 16}@15551234567/15557654321",
    "whatsapp://abcdefghijklmnop@1234567890/15557654321",
    f"workflows://example.org/{'a' * 32}/{'b' * 43}",
]
NOWHERE = "nowhere.example.org"
TESTS = Path(__file__).parents[1]
TITLE, TEXT = message().title, message().message


@pytest.fixture
def service() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def at(service: Receiver, rest: str = "/hook", scheme: str = "json") -> str:
    """An Apprise URL of the service."""
    return f"{scheme}://127.0.0.1:{service.port}{rest}"


async def send(address: Any, settings: dict[str, Any] | None = None, **changes: Any) -> Outcome:
    async with AppriseChannel(Settings(**HERE | (settings or {})), "apprise") as channel:
        return await channel.send(message(address=address, **changes))


def working(name: str) -> int:
    """How many threads of a channel there are."""
    return sum(thread.name == f"channel {name}" for thread in threading.enumerate())


async def test_it_arrives(service: Receiver) -> None:
    assert await send(at(service)) == Outcome(kind="sent")
    assert (service.last.method, service.last.target) == ("POST", "/hook")
    got = service.last.json()
    assert (got["title"], got["message"], got["type"]) == (TITLE, TEXT, "info")


async def test_it_arrives_at_another_service(service: Receiver) -> None:
    assert (await send({"url": at(service, "/coffee", "ntfy")}, priority="urgent")).kind == "sent"
    got = service.last.json()
    assert (got["topic"], got["title"], got["message"]) == ("coffee", TITLE, TEXT)


@pytest.mark.parametrize("url", ALLOWED)
async def test_services_that_are_allowed_get_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As their plugins make it, without the network: what is switched off of Apprise must not keep it from them."""
    asked: list[Any] = []

    def taken(adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        asked.append(request.body)
        answer = b'{"ok":true,"result":{"message_id":1},"messages":[{"status":"0"}]}'
        return adapter.build_response(request, HTTPResponse(io.BytesIO(answer), preload_content=False, status=200))

    monkeypatch.setattr(confined_apprise, "_plain_send", taken)
    settings = {"apprise_schemes": Settings().apprise_schemes}
    assert await send(url, settings, title="Coffee", message="Espresso") == Outcome(kind="sent")
    (body,) = asked
    assert b"Coffee" in (raw := body.encode() if isinstance(body, str) else body)
    assert b"Espresso" in raw


@pytest.mark.parametrize(("priority", "kind"), [("low", "info"), ("high", "warning"), ("urgent", "warning")])
async def test_what_is_pressing_is_a_warning(service: Receiver, priority: str, kind: str) -> None:
    await send(at(service), priority=priority)
    assert service.last.json()["type"] == kind


async def test_html_goes_to_services_that_take_it(service: Receiver) -> None:
    page = "<p>It is <b>ready</b></p>"
    await send(at(service), html=page)
    assert service.last.json()["message"] == page
    await send(at(service, "/coffee", "ntfy"), html=page)
    assert service.last.json()["message"] == TEXT


async def test_without_a_message_the_title_is_sent(service: Receiver) -> None:
    assert (await send(at(service), message="")).kind == "sent"
    assert service.last.json()["message"] == TITLE


async def test_what_is_too_long_is_cut(service: Receiver) -> None:
    assert (await send(at(service), message="x" * 40_000)).kind == "sent"
    (got,) = service.requests
    assert 30_000 < len(got.json()["message"]) < 40_000


async def test_the_status_is_the_code(service: Receiver) -> None:
    service.answer(Answer(503, {"Retry-After": "120"}))
    outcome = await send(at(service))
    assert (outcome.kind, outcome.code, outcome.retry_after, outcome.outage) == ("retry", "http-503", 120.0, False)
    assert "503" in outcome.detail


@pytest.mark.parametrize("asked", ["", "?redirect=yes", "?redirect=yes&retry=3&optional=yes"])
async def test_no_redirect_is_followed(service: Receiver, asked: str) -> None:
    service.answer(Answer(307, {"Location": f"{service.url}/elsewhere"}), Answer())
    outcome = await send(at(service, f"/hook{asked}"))
    assert (outcome.kind, outcome.code) == ("retry", "http-307")
    assert [got.target for got in service.requests] == ["/hook"]


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


@pytest.mark.parametrize("way", ["hang", "stall"])
async def test_a_service_that_does_not_answer_is_given_up(service: Receiver, way: Any) -> None:
    await send(at(service))  # what is loaded at first is not to take the time of the other
    service.answer(Answer(way=way))
    outcome = await send(at(service, "/hook?rto=600&cto=600"), {"send_seconds": 0.4})
    assert (outcome.kind, outcome.code) == ("retry", "timeout")
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
        return service.left == 1 and working("apprise") == 0

    await until_async(ended, what="the end of its thread and its connection")


async def test_threads_that_hang_are_bounded(service: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver is what nothing can end."""
    await send(at(service))  # what is loaded at first is not to take the time of the others
    answered, plain = threading.Event(), socket.getaddrinfo

    def stuck(host: Any, *rest: Any, **more: Any) -> Any:
        if host == "stuck.example":
            answered.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return plain(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    async with AppriseChannel(Settings(**HERE, send_seconds=0.2), "many") as channel:
        late = await asyncio.gather(*(channel.send(message(address="json://stuck.example/")) for _ in range(THREADS)))
        assert {outcome.code for outcome in late} == {"timeout"}
        busy = await channel.send(message(address=at(service)))
        assert (busy.kind, busy.code, busy.outage) == ("retry", "busy", True)
        answered.set()
        await until_async(lambda: has(working("many") == 0), what="the end of the threads")
        assert (await channel.send(message(address=at(service)))).kind == "sent"


async def test_an_endless_answer_is_not_read(service: Receiver) -> None:
    service.answer(Answer(way="endless"))
    outcome = await send(at(service))
    assert (outcome.kind, outcome.code) == ("retry", "bad-response")


@pytest.mark.parametrize("way", ["drop", "garbage"])
async def test_an_answer_that_is_none(service: Receiver, way: Any) -> None:
    service.answer(Answer(way=way, body=b"hello\r\n\r\n"))
    outcome = await send(at(service))
    assert (outcome.kind, outcome.code) == ("retry", "connect")


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = await send(f"json://127.0.0.1:{free.getsockname()[1]}/")
    assert (outcome.kind, outcome.code) == ("retry", "connect")
    assert "127.0.0.1" in outcome.detail


@pytest.mark.usefixtures("names")
async def test_nobody_has_that_name() -> None:
    outcome = await send(f"json://{NOWHERE}/")
    assert (outcome.kind, outcome.code) == ("retry", "dns")


async def test_who_cannot_prove_the_name() -> None:
    with Receiver(tls=True) as service:
        outcome = await send(at(service, scheme="jsons"), {"apprise_schemes": "jsons"})
    assert (outcome.kind, outcome.code) == ("retry", "tls")


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


async def test_in_staging_all_go_to_one_url(service: Receiver) -> None:
    settings = {"redirect_apprise": at(service, "/staging"), "apprise_schemes": "slack"}
    assert (await send(SLACK, settings)).kind == "sent"
    assert service.last.target == "/staging"


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


def test_nothing_is_loaded_before_the_first_message() -> None:
    code = (
        "import sys, notify.channels.registry as r; from notify.config import Settings\n"
        "r.build(Settings(), lambda message: None)\n"
        "print(sorted({'apprise', 'requests', 'urllib3'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


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


def test_the_schemes_that_are_allowed_exist() -> None:
    plugins: Any = apprise.NotificationManager
    known = set(plugins().schemas())
    assert {url.partition(":")[0] for url in ALLOWED} == set(Settings().apprise_schemes.split(",")) <= known
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
