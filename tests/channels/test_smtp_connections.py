"""Connections to the mail server: kept and used again, replaced when they went stale, encrypted and logged in."""

from __future__ import annotations

import asyncio
import base64

import pytest
import trustme

from channels.conftest import HOST, certified
from helpers.mail import channel_to, message, send
from helpers.smtp import Act, MailServer
from helpers.wait import until_async, until_true
from notify.channels import smtp_pool

pytestmark = [pytest.mark.usefixtures("names"), pytest.mark.plain_loop]

LOGIN = ("user@example.org", "p@ss/wörd:#")
LOGIN_IN_A_URL = "user%40example.org:p%40ss%2Fw%C3%B6rd%3A%23"


async def until_open(mail_server: MailServer, count: int) -> None:
    async def reached() -> bool:
        return len(mail_server.sessions) == count

    await until_async(reached, what=f"{count} connections open")


async def until_asked(mail_server: MailServer, command: str) -> None:
    async def asked() -> bool:
        return command in mail_server.commands

    await until_async(asked, what=f"{command} came")


async def test_one_connection_serves_many_mails_in_turn(mail_server: MailServer) -> None:
    async with channel_to(mail_server.port, smtp_connections=4) as channel:
        assert mail_server.connections == 0
        for _ in range(5):
            assert (await channel.send(message())).kind == "sent"
    assert (len(mail_server.mails), mail_server.connections) == (5, 1)


async def test_leaving_the_channel_closes_its_connections(mail_server: MailServer) -> None:
    async with channel_to(mail_server.port, smtp_connections=2) as channel:
        await asyncio.gather(*(channel.send(message()) for _ in range(2)))
        await until_open(mail_server, 2)
    await until_open(mail_server, 0)
    assert mail_server.commands.count("QUIT") == 2


async def test_a_server_without_a_goodbye_is_left_all_the_same(mail_server: MailServer) -> None:
    mail_server.script("QUIT", Act.DIE)
    await send(mail_server)
    await until_open(mail_server, 0)


async def test_idle_connections_are_closed(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_pool, "IDLE_SECONDS", 0.01)
    async with channel_to(mail_server.port) as channel:
        await asyncio.gather(*(channel.send(message()) for _ in range(2)))
        await until_open(mail_server, 0)
        assert "QUIT" in mail_server.commands
        assert (await channel.send(message())).kind == "sent"


async def test_a_connection_that_the_server_closed_is_not_used(mail_server: MailServer) -> None:
    async with channel_to(mail_server.port) as channel:
        await channel.send(message())
        mail_server.close_connections()
        await until_open(mail_server, 0)
        assert (await channel.send(message())).kind == "sent"
    assert (len(mail_server.mails), mail_server.connections) == (2, 2)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reaction", [Act.DIE, "421 4.4.2 idle for too long"])
async def test_a_kept_connection_that_fails_before_the_mail_was_taken_is_replaced(
    mail_server: MailServer, step: str, reaction: Act | str
) -> None:
    async with channel_to(mail_server.port) as channel:
        await channel.send(message())
        mail_server.script(step, reaction)
        assert (await channel.send(message())).kind == "sent"
    assert (len(mail_server.mails), mail_server.connections) == (2, 2)


async def test_it_is_replaced_once(mail_server: MailServer) -> None:
    async with channel_to(mail_server.port) as channel:
        await channel.send(message())
        mail_server.script("MAIL", Act.DIE, Act.DIE)
        outcome = await channel.send(message())
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "connect", True)
    assert (len(mail_server.mails), mail_server.connections) == (1, 2)


async def test_after_the_mail_was_handed_over_nothing_is_replaced(mail_server: MailServer) -> None:
    async with channel_to(mail_server.port) as channel:
        await channel.send(message())
        mail_server.script("END", Act.DIE)
        outcome = await channel.send(message())
    assert outcome.code == "answer-lost"
    assert (len(mail_server.mails), mail_server.connections) == (2, 1)


async def test_a_connection_that_will_not_start_anew_is_replaced(mail_server: MailServer) -> None:
    mail_server.script("RCPT", "550 no such user")
    async with channel_to(mail_server.port) as channel:
        await channel.send(message())
        mail_server.script("RSET", "500 what?")
        assert (await channel.send(message())).kind == "sent"
    assert mail_server.connections == 2


@pytest.mark.parametrize("step", ["RCPT", "END"])
async def test_a_cancelled_mail_takes_its_connection_with_it(mail_server: MailServer, step: str) -> None:
    mail_server.script(step, Act.HANG)
    async with channel_to(mail_server.port) as channel:
        sending = asyncio.create_task(channel.send(message()))
        await until_true(lambda: step in mail_server.commands or mail_server.mails)
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()
        await until_open(mail_server, 0)
        assert (await channel.send(message())).kind == "sent"
    assert mail_server.connections == 2


async def test_a_mail_under_way_when_the_channel_is_left_keeps_no_connection(mail_server: MailServer) -> None:
    mail_server.script("RCPT", Act.HANG)
    async with channel_to(mail_server.port, send_seconds=0.5) as channel:
        sending = asyncio.create_task(channel.send(message()))
        await until_asked(mail_server, "RCPT")
    assert (await sending).code == "timeout"
    await until_open(mail_server, 0)


async def test_a_mail_that_waited_for_a_connection_in_vain(mail_server: MailServer) -> None:
    mail_server.script("MAIL", Act.HANG, Act.HANG)
    async with channel_to(mail_server.port, smtp_connections=1, send_seconds=0.5) as channel:
        first, second = await asyncio.gather(channel.send(message()), channel.send(message()))
    assert first.code == second.code == "timeout"


async def test_starttls(authority: trustme.CA) -> None:
    with MailServer(starttls=certified(authority)) as mail_server:
        assert (await send(mail_server, host=HOST)).kind == "sent"
        assert (await send(mail_server, host=HOST, smtp_tls="try")).kind == "sent"
        assert (await send(mail_server, host=HOST, smtp_tls="off")).kind == "sent"
    assert [mail.encrypted for mail in mail_server.mails] == [True, True, False]


async def test_smtps(authority: trustme.CA) -> None:
    with MailServer(tls=certified(authority)) as mail_server:
        async with channel_to(mail_server.port, host=HOST, scheme="smtps") as channel:
            outcomes = [await channel.send(message()) for _ in range(2)]
        assert [outcome.kind for outcome in outcomes] == ["sent", "sent"]
        await until_open(mail_server, 0)
    assert [mail.encrypted for mail in mail_server.mails] == [True, True]
    assert mail_server.connections == 1


async def test_without_starttls_nothing_is_sent_where_it_is_required(mail_server: MailServer) -> None:
    outcome = await send(mail_server, host=HOST)
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "tls", True)
    assert "STARTTLS" in outcome.detail
    assert mail_server.mails == []


@pytest.mark.parametrize(("host", "policy"), [(HOST, "try"), (HOST, "off"), ("127.0.0.1", "require")])
async def test_without_starttls_mail_goes_where_it_may(mail_server: MailServer, host: str, policy: str) -> None:
    assert (await send(mail_server, host=host, smtp_tls=policy)).kind == "sent"


async def test_a_server_that_offers_starttls_and_cannot(authority: trustme.CA) -> None:
    with MailServer(starttls=certified(authority)) as mail_server:
        mail_server.script("STARTTLS", "454 4.7.0 not now")
        outcome = await send(mail_server, host=HOST, smtp_tls="try")
    assert (outcome.code, outcome.outage, outcome.detail) == ("tls", True, "454 4.7.0 not now")
    assert mail_server.mails == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("policy", ["require", "try"])
@pytest.mark.parametrize("fault", ["another name", "another authority"])
async def test_a_certificate_is_verified(authority: trustme.CA, scheme: str, policy: str, fault: str) -> None:
    name = "other.example.org" if fault == "another name" else HOST
    context = certified(trustme.CA() if fault == "another authority" else authority, name)
    with MailServer(starttls=context) if scheme == "smtp" else MailServer(tls=context) as mail_server:
        outcome = await send(mail_server, host=HOST, scheme=scheme, smtp_tls=policy)
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "tls", True)
    assert "certificate" in outcome.detail
    assert mail_server.mails == []


async def test_a_server_that_does_not_speak_tls(mail_server: MailServer) -> None:
    outcome = await send(mail_server, host=HOST, scheme="smtps")
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "tls", True)


async def test_login_with_a_name_and_a_password_that_are_encoded_in_the_url(authority: trustme.CA) -> None:
    with MailServer(starttls=certified(authority), login=LOGIN) as mail_server:
        assert (await send(mail_server, host=HOST, login=LOGIN_IN_A_URL)).kind == "sent"
    (mail,) = mail_server.mails
    assert (mail.encrypted, mail.user) == (True, LOGIN[0])


async def test_a_refused_login_is_an_outage() -> None:
    with MailServer(login=LOGIN) as mail_server:
        outcome = await send(mail_server, login="user%40example.org:wrong")
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "smtp-535", True)
    assert mail_server.mails == []


async def test_a_server_that_quotes_the_password_is_not_quoted(mail_server: MailServer) -> None:
    user, password = (part.encode() for part in LOGIN)
    plain = base64.b64encode(b"\0" + user + b"\0" + password).decode()
    answer = f"535 {LOGIN[1]} and {base64.b64encode(password).decode()} and {plain}"
    mail_server.script("AUTH", answer, answer)
    outcome = await send(mail_server, login=LOGIN_IN_A_URL)
    assert (outcome.code, outcome.detail) == ("smtp-535", "535 *** and *** and ***")


async def test_a_password_is_not_sent_in_the_clear_unless_that_was_said(mail_server: MailServer) -> None:
    mail_server.login = LOGIN
    outcome = await send(mail_server, host=HOST, login=LOGIN_IN_A_URL, smtp_tls="try")
    assert (outcome.code, outcome.outage) == ("tls", True)
    assert "AUTH" not in mail_server.commands
    assert (await send(mail_server, host=HOST, login=LOGIN_IN_A_URL, smtp_tls="off")).kind == "sent"


async def test_a_server_that_knows_no_login(mail_server: MailServer) -> None:
    mail_server.script("EHLO", "250 sink.example.org")
    outcome = await send(mail_server, login=LOGIN_IN_A_URL)
    assert (outcome.kind, outcome.code, outcome.outage) == ("retry", "login", True)
