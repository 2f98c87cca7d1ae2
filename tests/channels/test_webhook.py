"""The channel webhook against a real receiver: what is sent and signed, what each answer means, and its settings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks import WebhookVerificationError

from helpers.receiver import Answer, Receiver
from helpers.webhooks import AT, LOOPBACK, OTHER, SECRET, THIRD, channel, message, send, soon
from notify.channels import webhook
from notify.channels.protocol import MOST_DETAIL, Channel, Outcome
from notify.channels.webhook import WebhookChannel, check_settings
from notify.channels.webhook_answers import retry_after
from notify.config import Settings
from notify.errors import ConfigError


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


# what is sent


async def test_a_call_is_a_signed_event(receiver: Receiver) -> None:
    assert (await send(receiver.url + "/hook?k=v")).kind == "sent"
    (got,) = receiver.requests
    assert (got.method, got.target) == ("POST", "/hook?k=v")
    assert got.json() == {
        "type": "lesson",
        "timestamp": "2026-03-01T09:30:00Z",
        "data": {
            "id": 7,
            "recipient": "ada",
            "batch_id": 3,
            "title": "Lesson at ten",
            "message": "Bring your bööks",
            "data": {"room": 4, "at": {"floor": 2, "door": "b"}},
            "priority": "high",
            "reference": "lesson:9",
            "scheduled_at": "2026-03-01T09:30:00Z",
        },
    }
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"].startswith("notify/0.")
    assert got.headers["webhook-id"] == "ntf_7_webhook"
    got.verify(SECRET)
    with pytest.raises(WebhookVerificationError):
        got.verify(OTHER)


async def test_attempts_differ_in_time_and_signature_alone(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    async with channel() as opened:
        await opened.send(message(receiver.url))
        monkeypatch.setattr(webhook, "datetime", _Later)
        again = message(receiver.url, attempt=2, data={"at": {"door": "b", "floor": 2}, "room": 4})
        await opened.send(again)
    first, second = receiver.requests
    assert first.body == second.body
    first.verify(SECRET)
    second.verify(SECRET)
    differing = {name for name in first.headers if first.headers[name] != second.headers[name]}
    assert differing == {"webhook-timestamp", "webhook-signature"}


class _Later(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("address", "service", "good", "bad"),
    [
        ({}, SECRET, [SECRET], [OTHER]),
        ({}, f"{SECRET} {OTHER}", [SECRET, OTHER], [THIRD]),
        ({"secret": OTHER}, SECRET, [OTHER], [SECRET]),
        ({"secret": OTHER}, None, [OTHER], []),
        ({"secrets": [OTHER, THIRD]}, SECRET, [OTHER, THIRD], [SECRET]),
    ],
)
async def test_which_secrets_sign(
    receiver: Receiver, address: dict[str, Any], service: str | None, good: list[str], bad: list[str]
) -> None:
    outcome = await send({"url": receiver.url, **address}, replace(LOOPBACK, webhook_secret=service))
    assert outcome.kind == "sent"
    assert receiver.last.headers["webhook-signature"].count("v1,") == len(good)
    for secret in good:
        receiver.last.verify(secret)
    for secret in bad:
        with pytest.raises(WebhookVerificationError):
            receiver.last.verify(secret)


async def test_without_a_secret_nothing_is_sent(receiver: Receiver) -> None:
    outcome = await send(receiver.url, replace(LOOPBACK, webhook_secret=None))
    assert (outcome.kind, outcome.code, receiver.requests) == ("final", "no-secret", [])
    assert "NOTIFY_WEBHOOK_SECRET" in outcome.detail


async def test_staging_sends_all_to_one_place(receiver: Receiver) -> None:
    settings = replace(LOOPBACK, redirect_webhook=receiver.url + "/staging")
    outcome = await send({"url": "https://shop.example:8443/hook?key=1", "secret": OTHER}, settings)
    assert outcome.kind == "sent"
    assert receiver.last.target == "/staging"
    assert receiver.last.headers["notify-original-host"] == "shop.example"
    receiver.last.verify(SECRET)


async def test_neither_proxies_nor_cookies(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    receiver.answer(Answer(headers={"Set-Cookie": "seen=1"}))
    async with channel() as opened:
        assert [(await opened.send(message(receiver.url))).kind for _ in range(2)] == ["sent", "sent"]
    assert "Cookie" not in receiver.last.headers


# answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_success(receiver: Receiver, status: int) -> None:
    receiver.answer(Answer(status))
    assert await send(receiver.url) == Outcome(kind="sent")


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 422, 429, 500, 502, 503, 504, 599])
async def test_other_answers_are_tried_again(receiver: Receiver, status: int) -> None:
    receiver.answer(Answer(status, body=b"not now"))
    outcome = await send(receiver.url)
    assert (outcome.kind, outcome.code, outcome.unreachable) == ("retry", f"http-{status}", False)
    assert outcome.detail.startswith(f"{status}")
    assert outcome.detail.endswith(": not now")
    assert not outcome.outage
    assert not outcome.disable


async def test_gone_disables_the_address(receiver: Receiver) -> None:
    receiver.answer(Answer(410))
    outcome = await send(receiver.url)
    assert (outcome.kind, outcome.code, outcome.disable) == ("final", "http-410", True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answer(Answer(status, {"Location": receiver.url + "/elsewhere?token=secret", "Retry-After": "9"}))
    outcome = await send(receiver.url + "/hook")
    assert (outcome.kind, outcome.code, outcome.retry_after) == ("retry", f"http-{status}", 9)
    assert [got.target for got in receiver.requests] == ["/hook"]
    assert "elsewhere" not in outcome.detail


async def test_retry_after_is_obeyed(receiver: Receiver) -> None:
    receiver.answer(Answer(503, {"Retry-After": "120"}))
    assert (await send(receiver.url)).retry_after == 120


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 30 "}, 30.0),
        ({"Retry-After": "86401"}, 86_400.0),
        ({"Retry-After": "9" * 5_000}, 86_400.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Fri, 99 Foo 99999999999999 00:00:00 GMT"}, None),
        ({"Retry-After": format_datetime(AT + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"Retry-After": format_datetime(AT - timedelta(seconds=90), usegmt=True)}, 0.0),
        ({"Retry-After": format_datetime(AT + timedelta(days=9), usegmt=True)}, 86_400.0),
        ({"Retry-After": "Sunday, 01-Mar-26 09:31:00 GMT"}, 60.0),
        ({"Retry-After": "Sun Mar  1 09:31:00 2026"}, 60.0),
        # The endpoint's clock is an hour ahead of ours: what it says is by its own.
        ({"Retry-After": "Sun, 01 Mar 2026 10:31:00 GMT", "Date": "Sun, 01 Mar 2026 10:30:00 GMT"}, 60.0),
        ({"Retry-After": "Sun, 01 Mar 2026 09:31:00 GMT", "Date": "today"}, 60.0),
    ],
)
def test_both_forms_of_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, AT) == seconds


async def test_of_a_long_answer_the_beginning_is_kept(receiver: Receiver) -> None:
    receiver.answer(Answer(500, body=b"\x00\x1b[1m \xff bad\n" + b"x" * 100_000))
    outcome = await send(receiver.url)
    assert outcome.detail.startswith("500 Internal Server Error: \ufffd\ufffd[1m \ufffd bad\nx")
    assert len(outcome.detail) == MOST_DETAIL


@pytest.mark.parametrize(("status", "kind"), [(200, "sent"), (503, "retry")])
async def test_an_endless_answer_is_cut_off(receiver: Receiver, status: int, kind: str) -> None:
    receiver.answer(Answer(status, way="endless"))
    async with channel() as opened:
        outcome = await opened.send(message(receiver.url))
        assert outcome.kind == kind
        assert "endless endless" in outcome.detail
        await soon(lambda: receiver.left == 1, "the connection is closed")


@pytest.mark.parametrize(("status", "code"), [(202, ""), (503, "http-503")])
@pytest.mark.parametrize(("whole", "rest"), [(2.0, 60.0), (15.0, 0.1)])
async def test_a_status_counts_though_its_body_never_ends(
    receiver: Receiver, status: int, code: str, whole: float, rest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_BODY_SECONDS", rest)
    receiver.answer(Answer(status, body=b"so far", way="stall"))
    # Whoever calls it may have the same limit.
    async with channel(replace(LOOPBACK, send_seconds=whole)) as opened, asyncio.timeout(whole):
        outcome = await opened.send(message(receiver.url))
    assert outcome.code == code
    assert "so far" in outcome.detail
    await soon(lambda: receiver.left == 1, "the connection is closed")


# settings


def test_it_is_a_channel() -> None:
    made: Channel = WebhookChannel(replace(LOOPBACK, webhook_concurrency=9))
    assert (made.name, made.concurrency, made.disable_after_days) == ("webhook", 9, 5)


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"webhook_secret": "guess-me"}, "NOTIFY_WEBHOOK_SECRET"),
        ({"webhook_secret": SECRET + ",guess-me"}, "NOTIFY_WEBHOOK_SECRET"),
        ({"webhook_secret": " ".join([SECRET, OTHER, THIRD])}, "NOTIFY_WEBHOOK_SECRET"),
        ({"outside_allow": "guess-me"}, "NOTIFY_OUTSIDE_ALLOW"),
        ({"redirect_webhook": "https://user:guess-me@staging.example"}, "NOTIFY_REDIRECT_WEBHOOK"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], variable: str) -> None:
    for use in (check_settings, WebhookChannel):
        with pytest.raises(ConfigError, match=variable) as refused:
            use(replace(LOOPBACK, **changes))
        assert variable == "NOTIFY_OUTSIDE_ALLOW" or "guess-me" not in str(refused.value)


def test_good_settings_are_taken() -> None:
    check_settings(Settings())
    check_settings(replace(LOOPBACK, webhook_secret=f" {SECRET}\n{OTHER} ", redirect_webhook="https://a.example/x?y=1"))
