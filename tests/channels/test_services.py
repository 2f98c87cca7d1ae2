"""Channels by Apprise, against services on loopback: what arrives, and what comes of each failure."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import apprise
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.response import HTTPResponse

from helpers.apprises import NOWHERE, at, send
from helpers.mail import message
from helpers.receiver import Answer, Receiver
from notify.channels import confined_apprise
from notify.channels.confined import UNCONFINED
from notify.channels.protocol import Outcome
from notify.channels.services import check_settings
from notify.config import Settings
from notify.errors import ConfigError

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
TITLE, TEXT = message().title, message().message


@pytest.fixture
def service() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


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
    assert not outcome.unreachable
    assert "503" in outcome.detail


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


@pytest.mark.parametrize("way", ["drop", "garbage"])
async def test_an_answer_that_is_none(service: Receiver, way: Any) -> None:
    service.answer(Answer(way=way, body=b"hello\r\n\r\n"))
    outcome = await send(at(service))
    assert (outcome.kind, outcome.code) == ("retry", "connect")


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = await send(f"json://127.0.0.1:{free.getsockname()[1]}/")
    assert (outcome.kind, outcome.code, outcome.unreachable) == ("retry", "connect", True)
    assert "127.0.0.1" in outcome.detail


@pytest.mark.usefixtures("names")
async def test_nobody_has_that_name() -> None:
    outcome = await send(f"json://{NOWHERE}/")
    assert (outcome.kind, outcome.code, outcome.unreachable) == ("retry", "dns", True)


async def test_who_cannot_prove_the_name() -> None:
    with Receiver(tls=True) as service:
        outcome = await send(at(service, scheme="jsons"), {"apprise_schemes": "jsons"})
    assert (outcome.kind, outcome.code, outcome.unreachable) == ("retry", "tls", True)


async def test_in_staging_all_go_to_one_url(service: Receiver) -> None:
    settings = {"redirect_apprise": at(service, "/staging"), "apprise_schemes": "slack"}
    assert (await send(SLACK, settings)).kind == "sent"
    assert service.last.target == "/staging"


def test_nothing_is_loaded_before_the_first_message() -> None:
    code = (
        "import sys, notify.channels.registry as r; from notify.config import Settings\n"
        "r.build(Settings(), lambda message: None)\n"
        "print(sorted({'apprise', 'requests', 'urllib3'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


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
