"""The channel email against a real mail server: what it takes, what it refuses, and what is made of each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from channels.conftest import NOWHERE
from helpers.mail import channel_to, message, send
from helpers.smtp import Act, MailServer
from notify.channels.email import EmailChannel, check_settings
from notify.channels.mailserver import server_of
from notify.channels.protocol import Channel, Message
from notify.channels.unsubscribe import new_token, url_of
from notify.config import Settings
from notify.errors import ConfigError

QUICK = 0.5
LINK = "https://example.org/unsubscribe/abc"
WITH_MAIL: dict[str, Any] = {"smtp_url": "smtp://mail.example.org", "smtp_from": "lessons@example.org"}


async def test_a_mail_is_taken(mail_server: MailServer) -> None:
    outcome = await send(mail_server)
    assert (outcome.kind, outcome.code, outcome.detail) == ("sent", "", "250 2.0.0 taken as 1")
    (mail,) = mail_server.mails
    assert (mail.sender, mail.recipients) == ("lessons@example.org", ["ada@example.net"])
    parsed = mail.parsed()
    assert (parsed["Subject"], parsed["Message-ID"]) == ("A new lesson", "<0f8fad5b-1@example.org>")
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]


async def test_it_is_a_channel() -> None:
    channel: Channel = channel_to(1, smtp_connections=7)
    assert (channel.name, channel.concurrency, channel.disable_after_days) == ("email", 7, None)


@pytest.mark.parametrize(
    ("step", "answer", "kind", "code", "outage"),
    [
        ("MAIL", "452 4.3.1 no space", "retry", "smtp-452", False),
        ("MAIL", "550 5.7.1 not from you", "retry", "smtp-550", True),
        ("MAIL", "554 account suspended", "retry", "smtp-554", True),
        ("MAIL", "552 too much for us", "final", "smtp-552", False),
        ("MAIL", "550 5.3.4 too much for us", "final", "smtp-550", False),
        ("MAIL", "550 message size exceeds the limit", "final", "smtp-550", False),
        ("MAIL", "553 5.6.7 ASCII only", "final", "smtp-553", False),
        ("MAIL", "530 5.7.0 authentication required", "retry", "smtp-530", True),
        ("RCPT", "450 4.2.0 greylisted", "retry", "smtp-450", False),
        ("RCPT", "550 5.1.1 no such user", "final", "smtp-550", False),
        ("DATA", "451 4.3.0 later", "retry", "smtp-451", False),
        ("DATA", "554 5.5.1 no valid recipients", "final", "smtp-554", False),
        ("END", "452 4.2.2 mailbox full", "retry", "smtp-452", False),
        ("END", "554 5.7.1 spam", "final", "smtp-554", False),
    ],
)
async def test_a_refusal_is_told_and_the_connection_goes_on(
    mail_server: MailServer, step: str, answer: str, kind: str, code: str, outage: bool
) -> None:
    mail_server.script(step, answer)
    async with channel_to(mail_server.port) as channel:
        refused = await channel.send(message())
        taken = await channel.send(message())
    assert (refused.kind, refused.code, refused.detail, refused.outage) == (kind, code, answer, outage)
    assert taken.kind == "sent"
    assert (len(mail_server.mails), mail_server.connections) == (1, 1)


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"])
async def test_a_server_that_is_shutting_down_is_out_of_reach(mail_server: MailServer, step: str) -> None:
    mail_server.script(step, "421 4.3.2 shutting down")
    outcome = await send(mail_server)
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "smtp-421", True)
    assert outcome.detail == "421 4.3.2 shutting down"


@pytest.mark.parametrize(
    ("step", "reaction", "code"),
    [
        ("CONNECT", Act.DIE, "connect"),
        ("CONNECT", "554 5.3.2 no service here", "smtp-554"),
        ("CONNECT", "hello", "smtp-malformed"),
        ("CONNECT", Act.HANG, "timeout"),
        ("EHLO", Act.DIE, "connect"),
        ("EHLO", Act.HANG, "timeout"),
        ("MAIL", Act.DIE, "connect"),
        ("MAIL", "hello", "smtp-malformed"),
        ("MAIL", Act.HANG, "timeout"),
        ("RCPT", Act.DIE, "connect"),
        ("DATA", Act.DIE, "connect"),
    ],
)
async def test_a_server_that_does_not_get_so_far_is_out_of_reach(
    mail_server: MailServer, step: str, reaction: str | Act, code: str
) -> None:
    mail_server.script(step, reaction)
    outcome = await send(mail_server, send_seconds=QUICK)
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", code, True)
    assert (mail_server.mails, mail_server.connections) == ([], 1)


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
async def test_what_is_slow_for_one_recipient_is_no_outage(mail_server: MailServer, step: str) -> None:
    mail_server.script(step, Act.HANG)
    outcome = await send(mail_server, send_seconds=QUICK)
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "timeout", False)
    assert step in outcome.detail


async def test_a_server_that_is_not_there(mail_server: MailServer) -> None:
    mail_server.refuse()
    outcome = await send(mail_server)
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "connect", True)
    assert outcome.detail


@pytest.mark.usefixtures("names")
async def test_a_name_that_leads_nowhere() -> None:
    async with channel_to(25, host=NOWHERE) as channel:
        outcome = await channel.send(message())
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "dns", True)
    assert "not known" in outcome.detail


async def test_an_old_server_that_knows_no_ehlo(mail_server: MailServer) -> None:
    mail_server.script("EHLO", "500 what?")
    assert (await send(mail_server)).kind == "sent"
    assert "HELO" in mail_server.commands


@pytest.mark.parametrize(
    ("step", "act", "taken"),
    [("CONTENT", Act.DIE, 0), ("END", Act.DIE, 1), ("END", Act.HANG, 1), ("END", "hello", 0)],
)
async def test_a_lost_answer_is_tried_again_under_the_same_id(
    mail_server: MailServer, step: str, act: Act | str, taken: int
) -> None:
    mail_server.script(step, act)
    async with channel_to(mail_server.port, send_seconds=QUICK) as channel:
        lost = await channel.send(message(attempt=1))
        again = await channel.send(message(attempt=2))
    assert (lost.kind, lost.code, lost.outage) == ("retry", "answer-lost", False)
    assert "twice" in lost.detail
    assert again.kind == "sent"
    assert [mail.parsed()["Message-ID"] for mail in mail_server.mails] == ["<0f8fad5b-1@example.org>"] * (taken + 1)


async def test_every_line_arrives_also_those_that_begin_with_a_dot(mail_server: MailServer) -> None:
    text = ".\n..\n.end\n\n."
    await send(mail_server, message(message=text))
    plain = mail_server.mails[0].parsed().get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n") == text


async def test_an_answer_is_one_line_that_can_be_stored(mail_server: MailServer) -> None:
    mail_server.script("END", "250-one\r\n250 two\x01\tü")
    assert (await send(mail_server)).detail == "250 one two ü"


@pytest.mark.parametrize("address", ["", "ada", "a b@example.net", "ada@example.net\r\nRCPT TO:<x>", {"to": 1}])
async def test_a_bad_address_is_final_and_asks_no_server(mail_server: MailServer, address: Any) -> None:
    outcome = await send(mail_server, message(address=address))
    assert (outcome.kind, outcome.code) == ("final", "bad-address")
    assert mail_server.connections == 0


@pytest.mark.parametrize("changes", [{"title": "a\r\nBcc: x@example.net"}, {"title": "a\tb"}, {"stable_id": "a\nb"}])
async def test_a_bad_header_is_final_and_asks_no_server(mail_server: MailServer, changes: dict[str, str]) -> None:
    outcome = await send(mail_server, message(**changes))
    assert (outcome.kind, outcome.code) == ("final", "bad-header")
    assert mail_server.connections == 0


async def test_an_address_may_be_an_object(mail_server: MailServer) -> None:
    await send(mail_server, message(address={"address": "ada@example.net"}))
    assert mail_server.mails[0].recipients == ["ada@example.net"]


async def test_only_an_address_beyond_ascii_asks_for_smtputf8(mail_server: MailServer) -> None:
    await send(mail_server, message(title="Grüße", message="Grüße", address="ada@bücher.example"))
    await send(mail_server, message(address="ädä@example.net"))
    plain, beyond = mail_server.mails
    assert ("SMTPUTF8" in plain.options, plain.recipients) == (False, ["ada@xn--bcher-kva.example"])
    assert ("SMTPUTF8" in beyond.options, beyond.recipients) == (True, ["ädä@example.net"])
    assert beyond.parsed()["To"] == "ädä@example.net"


async def test_a_server_that_cannot_take_an_address_beyond_ascii() -> None:
    with MailServer(utf8=False) as mail_server:
        async with channel_to(mail_server.port) as channel:
            outcome = await channel.send(message(address="ädä@example.net"))
            assert (outcome.kind, outcome.code) == ("final", "smtputf8")
            assert (await channel.send(message())).kind == "sent"
        assert mail_server.connections == 1


@pytest.mark.parametrize("url", [LINK, None])
async def test_the_link_to_unsubscribe_is_asked_for_with_the_message(mail_server: MailServer, url: str | None) -> None:
    asked: list[Message] = []

    def unsubscribe(message: Message) -> str | None:
        asked.append(message)
        return url

    await send(mail_server, unsubscribe=unsubscribe)
    assert asked == [message()]
    assert mail_server.mails[0].parsed()["List-Unsubscribe"] == (url and f"<{url}>")


@pytest.mark.parametrize("letter", ["я", "漢", "🚀"])
async def test_a_link_for_the_longest_type_is_taken_by_a_server(mail_server: MailServer, letter: str) -> None:
    def unsubscribe(message: Message) -> str:
        return url_of(
            "https://notifications.example.org/lessons", new_token("k" * 43, "r" * 128, "email", message.type)
        )

    assert (await send(mail_server, message(type=letter * 100), unsubscribe=unsubscribe)).kind == "sent"
    url = unsubscribe(message(type=letter * 100))
    # The parser folds what has no space at which to fold.
    assert f"List-Unsubscribe: <{url}>\r\n".encode() in mail_server.mails[0].content


async def test_one_that_is_longer_than_a_line_is_left_out(mail_server: MailServer) -> None:
    longest = "https://example.org/".ljust(998 - len("List-Unsubscribe: <>"), "x")
    assert (await send(mail_server, unsubscribe=lambda _: longest)).kind == "sent"
    assert (await send(mail_server, unsubscribe=lambda _: longest + "x")).kind == "sent"
    assert [mail.parsed()["List-Unsubscribe-Post"] is not None for mail in mail_server.mails] == [True, False]


async def test_staging_sends_all_mail_to_one_address(mail_server: MailServer) -> None:
    await send(mail_server, redirect_email="staging@example.org")
    (mail,) = mail_server.mails
    assert mail.recipients == ["staging@example.org"]
    assert (mail.parsed()["To"], mail.parsed()["X-Notify-To"]) == ("staging@example.org", "ada@example.net")


async def test_staging_refuses_what_would_be_refused(mail_server: MailServer) -> None:
    outcome = await send(mail_server, message(address="nobody"), redirect_email="staging@example.org")
    assert outcome.code == "bad-address"


def test_settings_that_will_do() -> None:
    check_settings(Settings())
    check_settings(Settings(**WITH_MAIL, redirect_email="staging@example.org"))
    check_settings(Settings(smtp_url="smtps://user:p%40ss%2Fword@[::1]:465/", smtp_from="Le <lessons@example.org>"))


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"smtp_url": "smtp://"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://:587"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://user:secret@"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://user:sec/ret@mail.example.org"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://user:1#secret@mail.example.org"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://user:12/secret@mail.example.org"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://user@mail.example.org"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://mail.example.org:99999"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://mail..example.org"}, "NOTIFY_SMTP_URL"),
        ({"smtp_url": "smtp://[mail.example.org"}, "NOTIFY_SMTP_URL"),
        ({"smtp_from": None}, "NOTIFY_SMTP_FROM"),
        ({"smtp_from": "Lessons"}, "NOTIFY_SMTP_FROM"),
        ({"smtp_from": "Lessons\n <lessons@example.org>"}, "NOTIFY_SMTP_FROM"),
        ({"redirect_email": "staging"}, "NOTIFY_REDIRECT_EMAIL"),
    ],
    ids=str,
)
@pytest.mark.parametrize("use", [check_settings, lambda settings: EmailChannel(settings, lambda _: None)])
def test_settings_that_will_not_do(use: Callable[[Settings], Any], changes: dict[str, Any], variable: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        use(Settings(**(WITH_MAIL | changes)))
    assert "sec" not in str(caught.value)
    assert caught.value.__cause__ is None or "sec" not in str(caught.value.__cause__)


def test_the_mail_server_does_not_show_its_password() -> None:
    settings = Settings(smtp_url="smtps://user:p%40ss@mail.example.org", smtp_from="lessons@example.org")
    mail_server = server_of(settings, "example.org")
    assert mail_server.login == ("user", "p@ss")
    assert "ss@" not in repr(mail_server)
    assert "user" not in repr(mail_server)


async def test_one_channel_sends_many_at_once(mail_server: MailServer) -> None:
    async with channel_to(mail_server.port, smtp_connections=3) as channel:
        outcomes = await asyncio.gather(*(channel.send(message(stable_id=f"{n}")) for n in range(60)))
    assert {outcome.kind for outcome in outcomes} == {"sent"}
    assert len({mail.parsed()["Message-ID"] for mail in mail_server.mails}) == 60
    assert mail_server.connections == 3
