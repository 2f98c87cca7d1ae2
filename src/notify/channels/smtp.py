"""Talking SMTP: how a connection is made, and one mail over a connection."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from contextlib import ExitStack
from typing import cast

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponse, SMTPResponseException, SMTPServerDisconnected

from notify.channels.mailserver import MailServer
from notify.channels.mime import Letter
from notify.channels.protocol import Outcome, final, retry, sent

_GOODBYE_SECONDS = 1.0
_ENDED = "the server closed the connection"
# It is about to close the connection.
_CLOSING = 421
# It wants a login or encryption first: no fault of the mail that it is said to.
_OF_THE_SETTINGS = frozenset({530, 535, 538})
# What a server may have against one mail before it has seen it: its size, or characters that it does not take.
_TOO_LARGE = 552
_OF_THE_MAIL = re.compile(r"\b5\.(2\.3|3\.4|6\.\d+)\b|\bsize\b", re.IGNORECASE)
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Down(Exception):
    """The server is of no use now, and has not taken the mail. `code` and the text are those of an outcome."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    def outcome(self) -> Outcome:
        return retry(self.code, str(self), outage=True)


class Progress:
    """How far an attempt has come, which decides what it means when its time is over."""

    step = "connection"
    """What is waited for: the connection, the answer to a command, or `content`: the answer to the mail itself."""

    def late(self) -> Outcome:
        if self.step == "content":
            return retry("answer-lost", "the mail was handed over, and no answer came in time: it may come twice")
        return retry("timeout", f"no answer in time: {self.step}", outage=self.step in ("connection", "RSET", "MAIL"))


async def connect(server: MailServer, context: ssl.SSLContext | None) -> Connection:
    """A connection that mail may go over: encrypted and logged in as `server` says. Raises Down."""
    client = SMTP(
        hostname=server.host,
        port=server.port,
        local_hostname=server.hello,
        use_tls=server.tls == "implicit",
        start_tls=False,
        tls_context=context,
        # The whole attempt has one, which its caller sets.
        timeout=None,
    )
    with ExitStack() as undo:
        undo.callback(client.close)
        step = "connect"
        try:
            await client.connect()
            undo.callback(_abort, client.transport)
            await _greet(client)
            step = "tls"
            await _encrypt(client, server)
            step = "login"
            if server.login is not None:
                await client.login(*server.login)
        except (OSError, SMTPException) as error:
            raise _reason(error, step, server) from error
        undo.pop_all()
    return Connection(client)


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _encrypt(client: SMTP, server: MailServer) -> None:
    if server.tls not in ("require", "try"):
        return
    if client.supports_extension("starttls"):
        await client.starttls()
        await _greet(client)
    elif server.tls == "require":
        raise Down("tls", "the server offers no STARTTLS, and NOTIFY_SMTP_TLS=require asks for it")
    elif server.login is not None and not server.is_here:
        raise Down("tls", "no STARTTLS is offered, and the password is not sent without; NOTIFY_SMTP_TLS=off would")


def _reason(error: OSError | SMTPException, step: str, server: MailServer) -> Down:
    cause = error.__cause__ or error
    if isinstance(error, SMTPResponseException):
        code = "tls" if step == "tls" and error.code != _CLOSING else _code(error.code)
        return Down(code, server.without_secrets(_shown(error.code, error.message)))
    if isinstance(error, TimeoutError):
        return Down("timeout", "no connection in time")
    if isinstance(cause, socket.gaierror):
        return Down("dns", f"the name of the mail server is not found: {cause.strerror}")
    return Down("tls" if isinstance(cause, ssl.SSLError) else step, server.without_secrets(_line(str(cause))))


def _abort(transport: asyncio.BaseTransport | None) -> None:
    """Close it at once: to close it in order takes as long as the other end likes."""
    if transport is not None:
        cast(asyncio.WriteTransport, transport).abort()


class Connection:
    """A connection that is ready for mail, one at a time."""

    def __init__(self, client: SMTP) -> None:
        self._client = client
        # The client forgets it as soon as it begins to close.
        self._transport = client.transport
        self._sizes = client.supports_extension("size")
        self._utf8 = client.supports_extension("smtputf8")
        self._begun = False
        self.sound = True
        """Whether another mail may follow."""
        self.idle_since = 0.0
        """By the event loop's clock, in seconds."""

    @property
    def open(self) -> bool:
        return self._client.is_connected

    async def carry(self, letter: Letter, progress: Progress) -> Outcome:
        """Hand over one mail. Raises Down where the connection ended, or is to end, before the mail was taken."""
        if letter.beyond_ascii and not self._utf8:
            return final("smtputf8", "the mail server takes no address with characters beyond ASCII")
        self.sound = False
        for words in self._commands(letter):
            progress.step = words[0].decode()
            answer = await self._ask(words)
            if answer.code // 100 != (3 if words[0] == b"DATA" else 2):
                self._begun = True
                self.sound = answer.code >= 400
                return _sender_refused(answer) if words[0] == b"MAIL" else _refusal(answer)
        self._begun = False
        return await self._hand_over(letter.content, progress)

    def _commands(self, letter: Letter) -> list[tuple[bytes, ...]]:
        options = [b"SIZE=%d" % len(letter.content)] if self._sizes else []
        if letter.beyond_ascii:
            options.append(b"SMTPUTF8")
        commands = [
            (b"MAIL", b"FROM:<%b>" % letter.sender.encode(), *options),
            (b"RCPT", b"TO:<%b>" % letter.recipient.encode()),
            (b"DATA",),
        ]
        # What was refused is still begun. It is ended only now, as another mail may never follow.
        return [(b"RSET",), *commands] if self._begun else commands

    async def _ask(self, words: tuple[bytes, ...]) -> SMTPResponse:
        try:
            answer = await self._client.execute_command(*words)
        except ConnectionError as error:
            raise Down("connect", _ENDED) from error
        except SMTPResponseException as error:
            raise Down(_code(error.code), _line(error.message)) from error
        if answer.code == _CLOSING or (words[0] == b"RSET" and answer.code // 100 != 2):
            raise Down(_code(answer.code), _shown(answer.code, answer.message))
        return answer

    async def _hand_over(self, content: bytes, progress: Progress) -> Outcome:
        protocol = self._client.protocol
        try:
            if protocol is None:
                raise SMTPServerDisconnected(_ENDED)
            protocol.write(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        except SMTPServerDisconnected as error:
            raise Down("connect", _ENDED) from error
        progress.step = "content"
        try:
            answer = await protocol.read_response()
        except (ConnectionError, SMTPException):
            return retry("answer-lost", "the mail was handed over, and the connection ended: it may come twice")
        if answer.code == _CLOSING:
            return retry(_code(answer.code), _shown(answer.code, answer.message), outage=True)
        self.sound = answer.code // 100 in (2, 4, 5)
        if answer.code // 100 == 2:
            return sent(_shown(answer.code, answer.message))
        return _refusal(answer)

    def leave(self) -> None:
        """Say goodbye and close, without waiting for the answer."""
        if self._client.protocol is not None and self.open:
            self._client.protocol.write(b"QUIT\r\n")
        self._client.close()

    def abort(self) -> None:
        """Close it at once."""
        _abort(self._transport)
        self._client.close()

    async def quit(self) -> None:
        """Say goodbye, and close when the server has answered, or after a second."""
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._client.quit()
        except (OSError, SMTPException):
            pass
        finally:
            self.abort()


def _sender_refused(answer: SMTPResponse) -> Outcome:
    """The sender is the same in all mails: a server that takes none from it, as of an account that is suspended, would
    end a whole campaign mail by mail."""
    refused = _refusal(answer)
    if refused.kind == "final" and answer.code != _TOO_LARGE and not _OF_THE_MAIL.search(answer.message):
        return retry(refused.code, refused.detail, outage=True)
    return refused


def _refusal(answer: SMTPResponse) -> Outcome:
    code, shown = _code(answer.code), _shown(answer.code, answer.message)
    if answer.code in _OF_THE_SETTINGS:
        return retry(code, shown, outage=True)
    return final(code, shown) if answer.code // 100 == 5 else retry(code, shown)


def _code(number: int) -> str:
    return f"smtp-{number}" if 200 <= number <= 599 else "smtp-malformed"


def _shown(code: int, message: str) -> str:
    return _line(f"{code} {message}")


def _line(text: str) -> str:
    """One line that can be stored, of an answer that may hold any bytes."""
    return " ".join(_UNSHOWABLE.sub(" ", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).split())
