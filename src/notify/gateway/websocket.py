"""The endpoint `/ws`: a socket is accepted first, so that a refusal has a close code that clients can see.

It speaks ASGI directly: a frame does not pass through Litestar's websocket class on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import psycopg
import structlog
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from notify.config import Settings
from notify.errors import InvalidValue, NotifyError, Unauthenticated
from notify.gatekeeper import Gatekeeper
from notify.gateway import admission, closing, messages, request
from notify.gateway.acks import Acks
from notify.gateway.admission import Pass
from notify.gateway.closing import Closing
from notify.gateway.connection import Connection
from notify.gateway.messages import Ack, Auth, Patience
from notify.gateway.protocol import ABORT, PUSH
from notify.gateway.stream import Stream
from notify.gateway.wire import Gone, Pusher, dismiss, transmit
from notify.gateway.wire import Send as Sender
from notify.places import Places, address_of
from notify.supervise import describe

log = structlog.stdlib.get_logger(__name__)

PATH = "/ws"

Reading = Callable[[], Awaitable[Any]]
_REFUSAL_SECONDS = 5.0


class Doorkeeping(Protocol):
    """What the endpoint needs of the gateway."""

    settings: Settings
    gatekeeper: Gatekeeper
    stream: Stream
    acks: Acks

    @property
    def closing(self) -> bool:
        """Whether no new connections are taken."""

    def enter(self, connection: Connection, admitted: Pass) -> None:
        """Register. Raises TooManyRequests."""

    def renew(self, connection: Connection, admitted: Pass) -> None:
        """Put a new credential in the place of the old one."""

    def leave(self, connection: Connection) -> None:
        """Forget."""


class _Refused(Exception):
    """The client is to be sent away."""

    def __init__(self, end: Closing) -> None:
        super().__init__(end.detail)
        self.end = end


def websocket_routes(gateway: Doorkeeping) -> list[ASGIRouteHandler]:
    """The handlers of `/ws` and `/ws/`."""
    endpoint = _Endpoint(gateway)

    async def serve_websocket(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.WEBSOCKET:
            raise HTTPException("this path speaks websocket", status_code=426, headers={"Upgrade": "websocket"})
        await endpoint.serve(scope, receive, send)

    return [ASGIRouteHandler(PATH, copy_scope=False, name="websocket")(serve_websocket)]


class _Endpoint:
    def __init__(self, gateway: Doorkeeping) -> None:
        self._gateway = gateway
        settings = gateway.settings
        # They keep places from each other, not from those who came with a credential.
        self._strangers = Places(settings.max_unauthenticated, settings.max_unauthenticated_per_address)

    async def serve(self, scope: Any, receive: Reading, send: Sender) -> None:
        """One socket, from its handshake to its end."""
        try:
            connection = await self._receive_guest(scope, receive, send)
        except Gone:
            return
        except _Refused as refusal:
            await _refuse(refusal.end, send)
            return
        try:
            connection.start()
            await self._read(connection, receive)
        except Gone:
            return
        except asyncio.CancelledError:
            if not connection.was_cut_off:
                raise
        finally:
            self._gateway.leave(connection)
            await connection.stop()

    async def _receive_guest(self, scope: Any, receive: Reading, send: Sender) -> Connection:
        """Accept, authenticate and register. Raises _Refused or Gone."""
        await receive()  # websocket.connect
        try:
            await transmit(send, {"type": "websocket.accept", "subprotocol": request.subprotocol(scope), "headers": []})
            return await self._admit(scope, receive, send)
        except (_Refused, Gone):
            raise
        except NotifyError as error:
            raise _Refused(closing.because(error)) from error
        except psycopg.Error as error:
            log.warning("credential not checked", error=describe(error))
            raise _Refused(closing.UNAVAILABLE) from error
        except Exception as error:
            log.exception("socket not admitted")
            raise _Refused(closing.FAILED) from error

    async def _admit(self, scope: Any, receive: Reading, send: Sender) -> Connection:
        gateway = self._gateway
        if gateway.closing:
            raise _Refused(closing.RESTART)
        request.check_origin(scope, gateway.settings.allowed_origins)
        query = request.query(scope)
        credential = request.credential(scope) or await self._introduction(scope, receive)
        admitted = await admission.admit(gateway.gatekeeper, credential, address_of(scope))
        recipient = admission.owner(admitted, query.recipient)
        connection = Connection(
            recipient, query.cursor, gateway.stream, gateway.settings, send, _abort(scope), _pusher(scope)
        )
        if gateway.closing:
            raise _Refused(closing.RESTART)
        gateway.enter(connection, admitted)
        return connection

    async def _introduction(self, scope: Any, receive: Reading) -> str:
        """The credential of one who came without."""
        with self._strangers.place(address_of(scope)):
            return await self._first_message(receive)

    async def _first_message(self, receive: Reading) -> str:
        try:
            async with asyncio.timeout(self._gateway.settings.ws_auth_timeout):
                message = messages.decode(await _message(receive))
        except TimeoutError as error:
            raise Unauthenticated("no credential came in time") from error
        except InvalidValue as error:
            raise Unauthenticated("the first message must be {type: auth, token: …}") from error
        if not isinstance(message, Auth):
            raise Unauthenticated("the first message must be {type: auth, token: …}")
        return message.token

    async def _read(self, connection: Connection, receive: Reading) -> None:
        """Do what the client says, until it leaves. Raises Gone then."""
        patience = Patience()
        while True:
            try:
                await self._obey(connection, messages.decode(await _message(receive)))
            except _Refused as refusal:
                connection.close(refusal.end)
            except NotifyError as error:
                connection.complain(error.slug, str(error))
                if not patience.lose():
                    connection.close(closing.TOO_MANY_FAULTS)

    async def _obey(self, connection: Connection, message: Auth | Ack) -> None:
        """Do what one message says. Raises NotifyError for what is the client's fault, and _Refused."""
        if connection.is_closing:
            return
        try:
            match message:
                case Ack(seq):
                    await connection.greeted.wait()
                    self._gateway.acks.put(connection.recipient, connection.position.generation, seq)
                case Auth(token):
                    await self._renew(connection, token)
        except (_Refused, NotifyError):
            raise
        except Exception as error:
            log.exception("message not obeyed", recipient=connection.recipient)
            raise _Refused(closing.FAILED) from error

    async def _renew(self, connection: Connection, token: str) -> None:
        try:
            admitted = await admission.admit(self._gateway.gatekeeper, token)
        except psycopg.Error as error:
            log.warning("credential not checked", error=describe(error))
            connection.complain("unavailable", "the credential could not be checked; send it again")
            return
        try:
            admission.check_renewal(admitted, connection.recipient)
        except NotifyError as error:
            raise _Refused(closing.because(error)) from error
        self._gateway.renew(connection, admitted)


async def _message(receive: Reading) -> str | bytes:
    event = await receive()
    if event["type"] == "websocket.disconnect":
        raise Gone
    text = event.get("text")
    message: str | bytes = (event.get("bytes") or b"") if text is None else text
    if len(message) > messages.MAX_BYTES:
        raise _Refused(closing.MESSAGE_TOO_BIG)
    return message


async def _refuse(end: Closing, send: Sender) -> None:
    """Say why, and close; to one that does not listen, not for long."""
    try:
        async with asyncio.timeout(_REFUSAL_SECONDS):
            await dismiss(send, end)
    except (Gone, TimeoutError):
        return


def _abort(scope: Any) -> Callable[[], object]:
    """What cuts the connection off: the server's own way, else the end of this handler."""
    extension = scope.get("extensions", {}).get(ABORT)
    if extension is not None:
        abort: Callable[[], object] = extension["abort"]
        return abort
    task = asyncio.current_task()
    assert task is not None
    return task.cancel


def _pusher(scope: Any) -> Pusher | None:
    """The server's own way to send several frames at once, where it has one."""
    extension = scope.get("extensions", {}).get(PUSH)
    pusher: Pusher | None = None if extension is None else extension["pusher"]
    return pusher
