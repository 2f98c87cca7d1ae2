"""A mail server that does as it is told: `with MailServer() as server: server.script("RCPT", "550 no such user")`.

It is aiosmtpd, in a thread with an event loop of its own. What it took lies in `mails`.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from enum import Enum, auto
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Act(Enum):
    """What it can do instead of answering."""

    DIE = auto()
    HANG = auto()
    HOLD = auto()
    """Until `release()`; then it goes on as usual."""


class Mail(msgspec.Struct):
    """One that it took."""

    sender: str
    recipients: list[str]
    options: list[str]
    content: bytes
    encrypted: bool
    user: str | None

    def parsed(self) -> EmailMessage:
        parsed = message_from_bytes(self.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed


class MailServer:
    """Listens on 127.0.0.1 at `port`. Without a script it takes everything.

    `starttls` and `tls` are server contexts: of an encryption that is offered, or there from the first byte.
    `login` is the user and the password that it knows.
    """

    def __init__(
        self,
        *,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        utf8: bool = True,
    ) -> None:
        self.starttls, self.tls, self.login, self.utf8 = starttls, tls, login, utf8
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.mails: list[Mail] = []
        self.connections = 0
        """Made so far."""
        self.commands: list[str] = []
        self.sessions: set[_Session] = set()
        """Connections that are open."""
        self.answered = 0
        """Mails that it took and said so."""
        self.released = asyncio.Event()
        self._thread = threading.Thread(target=self.loop.run_forever, name="mail server", daemon=True)
        self._scripts: defaultdict[str, deque[str | Act]] = defaultdict(deque)
        self._listener: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def script(self, step: str, *reactions: str | Act) -> None:
        """What it does at the next times that it comes to this step; then it goes on as usual.

        A step is a command, or `CONNECT`, `CONTENT` (the mail is on its way), `END` (the mail is there).
        """
        self._scripts[step].extend(reactions)

    def next(self, step: str) -> str | Act | None:
        """What it is to do at this step, which has come."""
        return self._scripts[step].popleft() if self._scripts[step] else None

    def release(self) -> None:
        """Go on with what is held, and hold no more."""
        self.loop.call_soon_threadsafe(self.released.set)

    def close_connections(self) -> None:
        """End those that are open, in good order."""
        self._do(self._close_sessions)

    def refuse(self) -> None:
        """Take no new connections any more."""
        self._do(self._stop_listening)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _do(self, change: Callable[[], object]) -> None:
        async def run() -> None:
            change()

        self._run(run())

    def _close_sessions(self) -> None:
        for session in self.sessions:
            session.close()

    async def _listen(self) -> None:
        self._listener = await self.loop.create_server(partial(_Session, self), "127.0.0.1", 0, ssl=self.tls)
        self.port = self._listener.sockets[0].getsockname()[1]

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _close(self) -> None:
        self._stop_listening()
        for session in list(self.sessions):
            session.die()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


class _Session(SMTP):
    """One connection."""

    def __init__(self, server: MailServer) -> None:
        super().__init__(
            _Taker(server),
            hostname="sink.example.org",
            enable_SMTPUTF8=server.utf8,
            tls_context=server.starttls,
            auth_require_tls=False,
            authenticator=self._check,
            loop=server.loop,
        )
        self._server = server
        self._smtp_methods = {name: partial(self._act, name, method) for name, method in self._smtp_methods.items()}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # STARTTLS makes it a second time.
        if self not in self._server.sessions:
            self._server.sessions.add(self)
            self._server.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.sessions.discard(self)
        super().connection_lost(error)

    @property
    def encrypted(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is not None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def die(self) -> None:
        """Reset it, whatever is under way."""
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()

    async def _handle_client(self) -> None:
        await self._act("CONNECT", self._serve)

    async def _serve(self) -> None:
        await super()._handle_client()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - the name of a hook
        if self._server.next("CONTENT") is Act.DIE:
            await self.push("354 go on")
            await self._reader.readuntil(b"\r\n")
            await self.do(Act.DIE)
        await super().smtp_DATA(arg)

    async def _act(self, step: str, usual: Callable[..., Coroutine[Any, Any, None]], *arguments: str) -> None:
        self._server.commands.append(step)
        match self._server.next(step):
            case None:
                await usual(*arguments)
            case str(answer):
                await self.push(answer)
                if answer.startswith("421") or step == "CONNECT":
                    self.close()
            case act:
                await self.do(act)
                await usual(*arguments)

    async def do(self, act: Act) -> None:
        """Returns from a hold alone: the connection's end cancels the others."""
        if act is Act.DIE:
            self.die()
        await (self._server.released if act is Act.HOLD else asyncio.Event()).wait()

    def _check(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        right = (given.login.decode(), given.password.decode()) == self._server.login
        return AuthResult(success=right, handled=False, auth_data=given)


class _Taker:
    """Takes what came whole."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_DATA(  # noqa: N802 - the name of a hook
        self, session_of: _Session, session: Session, envelope: Envelope
    ) -> str:
        reaction = self._server.next("END")
        if isinstance(reaction, str) and not reaction.startswith("2"):
            return reaction
        self._server.mails.append(_mail(session_of, session, envelope))
        if isinstance(reaction, Act):
            await session_of.do(reaction)
        self._server.answered += 1
        return reaction if isinstance(reaction, str) else f"250 2.0.0 taken as {len(self._server.mails)}"


def _mail(session_of: _Session, session: Session, envelope: Envelope) -> Mail:
    login: Any = session.auth_data
    assert isinstance(envelope.content, bytes)
    assert envelope.mail_from is not None
    return Mail(
        sender=envelope.mail_from,
        recipients=list(envelope.rcpt_tos),
        options=list(envelope.mail_options),
        content=envelope.content,
        encrypted=session_of.encrypted,
        user=login.login.decode() if isinstance(login, LoginPassword) else None,
    )
