"""What webhooks must not reach, in every notation and by every name, and what of their addresses must not be told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from helpers.receiver import Answer, Receiver
from helpers.webhooks import SECRET, Names, channel, message, send
from notify.channels import webhook
from notify.channels.guard import Blocked, networks
from notify.channels.webhook_connections import Connections


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


# what must not be reached


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.2]", "\uff11\uff12\uff17.0.0.2"]
)
async def test_a_literal_is_blocked(receiver: Receiver, host: str) -> None:
    with capture_logs() as logs:
        outcome = await send(f"http://{host}:{receiver.port}/hook?key=1")
    assert (outcome.kind, outcome.code, outcome.disable, outcome.unreachable) == ("final", "blocked", False, False)
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
        for way in ("drop", "garbage"):
            receiver.answer(Answer(way=way, body=b"no\r\n\r\n"))
            details.append((await send(receiver.url + target)).detail)
        details.append((await send("http://127.0.0.2" + target)).detail)
        details.append((await send("http://a.example" + target, resolver=Names(OSError(None, "lost")))).detail)
        details.append((await send(receiver.url.replace("http:", "https:") + target)).detail)
    assert "Cannot POST" in details[0]
    for secret in (*secrets, SECRET):
        assert secret not in "\n".join(details) + str(logs)
