"""The channel webhook against a real receiver: what is sent and signed, and what comes of each answer and failure."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trustme
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec.structs import replace
from standardwebhooks import WebhookVerificationError
from structlog.testing import capture_logs

from channels.conftest import certified
from helpers.receiver import Answer, Receiver
from helpers.wait import until
from notify.channels import webhook
from notify.channels.guard import Blocked, networks
from notify.channels.protocol import MOST_DETAIL, Channel, Message, Outcome
from notify.channels.webhook import WebhookChannel, check_settings
from notify.channels.webhook_answers import retry_after
from notify.channels.webhook_connections import Connections
from notify.config import Settings
from notify.errors import ConfigError

SECRET, OTHER, THIRD = ("whsec_" + letter * 32 for letter in "abc")
LOOPBACK = Settings(outside_allow="127.0.0.1", webhook_secret=SECRET)
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def message(address: Any, **changes: Any) -> Message:
    plain = Message(
        stable_id="ntf_7_webhook",
        attempt=1,
        notification_id=7,
        batch_id=3,
        recipient="ada",
        address=address,
        locale=None,
        time_zone=None,
        type="lesson",
        priority="high",
        title="Lesson at ten",
        message="Bring your bööks",
        html=None,
        data={"room": 4, "at": {"floor": 2, "door": "b"}},
        reference="lesson:9",
        scheduled_at=AT,
        required=False,
    )
    return replace(plain, **changes)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@asynccontextmanager
async def channel(settings: Settings = LOOPBACK, **options: Any) -> AsyncIterator[WebhookChannel]:
    async with WebhookChannel(settings, **options) as opened:
        yield opened


async def send(address: Any, settings: Settings = LOOPBACK, **options: Any) -> Outcome:
    """One call over a channel of its own."""
    async with channel(settings, **options) as opened:
        return await opened.send(message(address))


async def _soon(predicate: Callable[[], bool], what: str) -> None:
    """Wait for it while the loop goes on."""
    await asyncio.to_thread(until, predicate, what=what)


class Names(AbstractResolver):
    """Answers each lookup with the next list of addresses, the last one for ever."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [
            ResolveResult(hostname=host, host=address, port=port, family=int(family), proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None:
        return None


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
    assert (outcome.kind, outcome.code) == ("retry", f"http-{status}")
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
        await _soon(lambda: receiver.left == 1, "the connection is closed")


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
    await _soon(lambda: receiver.left == 1, "the connection is closed")


# no answer


async def test_no_answer_in_time(receiver: Receiver) -> None:
    receiver.answer(Answer(way="hang"))
    outcome = await send(receiver.url + "/hook?key=1", replace(LOOPBACK, send_seconds=0.2))
    assert outcome == Outcome(kind="retry", code="timeout", detail="http://127.0.0.1 did not answer within 0.2 s")


async def test_a_cancelled_call_ends_at_once_and_closes_its_connection(receiver: Receiver) -> None:
    receiver.answer(Answer(way="hang"))
    async with channel() as opened:
        call = asyncio.create_task(opened.send(message(receiver.url)))
        await asyncio.to_thread(receiver.wait, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await _soon(lambda: receiver.left == 1, "the connection is closed")


async def test_refused_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = await send(f"http://127.0.0.1:{port}/hook?key=1")
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "connect", False)


async def test_a_connection_cut_before_the_answer(receiver: Receiver) -> None:
    receiver.answer(Answer(way="drop"))
    outcome = await send(receiver.url + "/hook?key=1")
    assert (outcome.kind, outcome.code) == ("retry", "connect")
    assert len(receiver.requests) == 1


async def test_what_is_no_http(receiver: Receiver) -> None:
    receiver.answer(Answer(body=b"SSH-2.0-hello\r\n\r\n", way="garbage"))
    outcome = await send(receiver.url + "/hook?key=1")
    assert (outcome.kind, outcome.code) == ("retry", "bad-response")


@pytest.mark.parametrize("failure", [socket.gaierror(socket.EAI_AGAIN, "try again"), []])
async def test_a_name_that_is_not_found(failure: Any) -> None:
    outcome = await send("https://nowhere.example/hook?key=1", resolver=Names(failure))
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "dns", False)


async def test_the_systems_own_lookup() -> None:
    assert (await send("https://nowhere.invalid/")).code == "dns"
    assert (await send("https://" + "a" * 64 + "/")).code == "dns"
    assert (await send("https://localhost/", replace(LOOPBACK, outside_allow=""))).code == "blocked"


async def test_a_certificate_nobody_vouches_for() -> None:
    with Receiver(tls=True) as receiver:
        outcome = await send(receiver.url + "/hook?key=1")
    assert (outcome.kind, outcome.code, receiver.requests) == ("retry", "tls", [])
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail


async def test_a_certificate_is_verified_by_its_name(authority: trustme.CA) -> None:
    names = Names(["127.0.0.1"])
    with Receiver(tls=certified(authority, "shop.example")) as receiver:
        assert (await send(f"https://shop.example:{receiver.port}/", resolver=names)).kind == "sent"
        assert (await send(f"https://other.example:{receiver.port}/", resolver=names)).code == "tls"
    assert [got.headers["Host"] for got in receiver.requests] == [f"shop.example:{receiver.port}"]


async def test_no_tls_where_tls_is_wanted(receiver: Receiver) -> None:
    outcome = await send(receiver.url.replace("http:", "https:"))
    assert (outcome.kind, outcome.code) == ("retry", "tls")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://shop.example/hook",
        "shop.example/hook",
        "https://",
        "https://user:password@shop.example/hook",
        "https://@shop.example/hook",
        "https://shop.example/hook#part",
        "https://shop.example:99999/hook",
        "https://[fe80::1/hook",
        "https://shop..example\u3002/hook",
        {"url": "https://shop.example", "secret": "guess"},
        {"address": "https://shop.example"},
        {},
    ],
)
async def test_what_is_no_address(address: Any) -> None:
    outcome = await send(address, resolver=Names(socket.gaierror(socket.EAI_NONAME, "looked up")))
    assert (outcome.kind, outcome.code) == ("final", "bad-address")


# what must not be reached


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.2]", "\uff11\uff12\uff17.0.0.2"]
)
async def test_a_literal_is_blocked(receiver: Receiver, host: str) -> None:
    with capture_logs() as logs:
        outcome = await send(f"http://{host}:{receiver.port}/hook?key=1")
    assert (outcome.kind, outcome.code, outcome.disable) == ("final", "blocked", False)
    assert "NOTIFY_OUTSIDE_ALLOW" in outcome.detail
    assert [line["event"] for line in logs] == ["webhook blocked"]
    assert "key" not in str(logs)


@pytest.mark.parametrize("host", ["2130706434", "127.2", "0x7f.2", "0177.0.0.2", "0x7f000002"])
async def test_odd_notations_reach_nothing(receiver: Receiver, host: str) -> None:
    outcome = await send(f"http://{host}:{receiver.port}/")
    assert outcome.kind == "final"
    assert outcome.code in ("blocked", "bad-address")
    assert receiver.requests == []


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.2"],
        ["127.0.0.1", "127.0.0.2"],
        ["127.0.0.2", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8", "::1"],
        ["::ffff:10.0.0.1"],
        ["fe80::1%1"],
    ],
)
async def test_one_refused_address_of_a_name_blocks_it(receiver: Receiver, found: list[str]) -> None:
    outcome = await send(f"http://shop.example:{receiver.port}/", resolver=Names(found))
    assert (outcome.kind, outcome.code, receiver.requests) == ("final", "blocked", [])
    assert "127" not in outcome.detail


async def test_a_name_that_leads_elsewhere_the_second_time(receiver: Receiver) -> None:
    """Each connection is judged by where it goes, whatever the name led to before."""
    with Receiver() as second:
        async with channel(resolver=Names(["127.0.0.1"], ["127.0.0.2"])) as opened:
            first = await opened.send(message(f"http://shop.example:{receiver.port}/"))
            then = await opened.send(message(f"http://shop.example:{second.port}/"))
        assert (first.kind, then.code, second.requests) == ("sent", "blocked", [])


async def test_a_socket_is_judged_though_no_lookup_was() -> None:
    """Should several addresses be tried at once, one that is refused fails the call, also where another answers."""
    async with Connections(networks("127.0.0.1"), 1, Names(["127.0.0.1"])) as connections:
        connections._resolver._allowed = networks("127.0.0.0/8")
        with Receiver() as receiver:
            url = webhook._url(f"http://shop.example:{receiver.port}/")
            connections._resolver._inner = Names(["127.0.0.2", "127.0.0.1"])
            with pytest.raises(Blocked):
                await connections.post(url, {}, b"")


# secrets


async def test_no_detail_and_no_log_shows_more_than_the_host(receiver: Receiver) -> None:
    secrets = ("T0000/hidden-path", "hidden-value", "hidden%20value", "hidden value", "k=v")
    target = "/T0000/hidden-path?token=hidden-value&other=hidden%20value&k=v"
    details = []
    with capture_logs() as logs:
        for status in (200, 404):
            receiver.answer(Answer(status, body=f"Cannot POST {target}, hidden-value is unknown".encode()))
            details.append((await send(receiver.url + target)).detail)
        for way in ("drop", "garbage", "hang"):
            receiver.answer(Answer(way=way, body=b"no\r\n\r\n"))
            details.append((await send(receiver.url + target, replace(LOOPBACK, send_seconds=0.2))).detail)
        details.append((await send("http://127.0.0.2" + target)).detail)
        details.append((await send("http://a.example" + target, resolver=Names(OSError(None, "lost")))).detail)
        details.append((await send(receiver.url.replace("http:", "https:") + target)).detail)
    assert "Cannot POST" in details[0]
    for secret in (*secrets, SECRET):
        assert secret not in "\n".join(details) + str(logs)


# connections


async def test_a_connection_is_kept_for_the_next_call(receiver: Receiver) -> None:
    receiver.answer(Answer(body=b"ok"), Answer(503, body=b"no" * 2_000), Answer(body=b"ok"))
    async with channel() as opened:
        for _ in range(3):
            await opened.send(message(receiver.url))
    assert [got.connection for got in receiver.requests] == [1, 1, 1]


async def test_a_kept_connection_that_the_endpoint_closes_is_no_failure(receiver: Receiver) -> None:
    receiver.answer(Answer(), Answer(way="drop"), Answer())
    async with channel() as opened:
        assert [(await opened.send(message(receiver.url))).kind for _ in range(2)] == ["sent", "sent"]
    first, lost, again = receiver.requests
    assert (first.connection, lost.connection, again.connection) == (1, 1, 2)
    assert lost.body == again.body
    assert lost.headers["webhook-id"] == again.headers["webhook-id"]


async def test_it_is_repeated_once_at_most(receiver: Receiver) -> None:
    receiver.answer(Answer(), Answer(way="drop"))
    async with channel() as opened:
        assert [(await opened.send(message(receiver.url))).code for _ in range(2)] == ["", "connect"]
    assert len(receiver.requests) == 3


async def test_few_connections_are_kept_for_many_hosts(receiver: Receiver) -> None:
    async with channel(replace(LOOPBACK, webhook_concurrency=2), resolver=Names(["127.0.0.1"])) as opened:
        for number in range(30):
            outcome = await opened.send(message(f"http://shop{number}.example:{receiver.port}/"))
            assert outcome.kind == "sent"
        await _soon(lambda: receiver.open <= 9, "the others are closed")


async def test_many_calls_at_once(receiver: Receiver) -> None:
    async with channel() as opened:
        outcomes = await asyncio.gather(*(opened.send(message(receiver.url, stable_id=f"n{n}")) for n in range(200)))
    assert {outcome.kind for outcome in outcomes} == {"sent"}
    assert {got.headers["webhook-id"] for got in receiver.requests} == {f"n{n}" for n in range(200)}


def test_over_uvloop() -> None:
    """As the worker runs it; what its loop raises is not always what asyncio's does."""

    async def calls(receiver: Receiver, tls: Receiver) -> list[str]:
        receiver.answer(Answer(), Answer(way="drop"), Answer(503), Answer(way="drop"))
        names = Names(["127.0.0.1", "127.0.0.2"], socket.gaierror(socket.EAI_NONAME, "gone"))
        places = [receiver.url, receiver.url, receiver.url, tls.url, "http://127.0.0.1:1", "http://127.0.0.2"]
        async with channel(resolver=names) as opened:
            outcomes = [
                await opened.send(message(place)) for place in [*places, "http://a.example", "http://b.example"]
            ]
        return [outcome.code for outcome in outcomes]

    with (
        Receiver() as receiver,
        Receiver(tls=True) as tls,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        codes = runner.run(calls(receiver, tls))
    assert codes == ["", "http-503", "connect", "tls", "connect", "blocked", "blocked", "dns"]


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
