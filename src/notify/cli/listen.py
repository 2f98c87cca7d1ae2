"""`notify listen`: a recipient's stream on a terminal, with the lateness of each notification."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import quote

import click
import msgspec
import psycopg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from notify import calls
from notify.access import new_token, token_key
from notify.calls import perform, perform_sync
from notify.cli.common import as_json, database, located, prepared, say
from notify.cli.place import server_url
from notify.cli.text import lateness, printable, stamp
from notify.config import Settings
from notify.errors import NotifyError
from notify.postgres.connection import connect as connect_database
from notify.process import run, together, until_told
from notify.supervise import backoff, describe

_OPEN_SECONDS = 10.0
_MAX_FRAME_BYTES = 1_048_576
_BASE_SECONDS, _CAP_SECONDS = 0.2, 2.0
_NOT_AUTHENTICATED = 4401
_FINAL_CODES = frozenset({4400, 4403, 4404})
_FINAL_STATUS = frozenset({400, 401, 403, 404})


class Refused(NotifyError):
    """The server will not have this connection, now or later."""


class _Content(msgspec.Struct, frozen=True):
    id: int
    title: str
    message: str
    scheduled_at: datetime
    sent_at: datetime


class _Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    recipient: str
    epoch: str
    last_seq: int
    unread: int


class _Notification(msgspec.Struct, frozen=True, tag_field="type", tag="notification"):
    seq: int
    notification: _Content


class _Reset(msgspec.Struct, frozen=True, tag_field="type", tag="reset"):
    epoch: str
    last_seq: int
    unread: int


class _Tick(msgspec.Struct, frozen=True, tag_field="type", tag="tick"):
    last_seq: int


class _Failure(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    code: str
    detail: str


_DECODER = msgspec.json.Decoder(_Hello | _Notification | _Reset | _Tick | _Failure)


@click.command()
@click.argument("recipient")
@click.option("--since", help="Where to begin: EPOCH:SEQ, SEQ, now. After what was received if not given.")
@as_json
def listen(recipient: str, since: str | None, json: bool) -> None:
    """Print what RECIPIENT receives, as it comes; Ctrl-C ends it. RECIPIENT is registered if need be.

    Every notification that was printed is acknowledged. After a lost connection it goes on without a gap.
    What was sent before it came is shown with the time when it was sent.
    """
    settings = located(prepared())
    with until_told() as stop:
        with database(settings) as connection:
            perform_sync(connection, calls.upsert_recipients([{"id": recipient}], replace=False))
        listener = _Listener(settings, recipient, since, json=json)
        run(stop, lambda: together(stop, {"listen": listener.run()}))


class _Listener:
    """Follows one stream over as many connections as it takes."""

    def __init__(self, settings: Settings, recipient: str, since: str | None, *, json: bool) -> None:
        self._settings = settings
        self._recipient = recipient
        self._since = since
        self._json = json
        self._server: str | None = None
        self._epoch = ""
        self._replayed_to = 0
        self._greeted = False
        self._failures = 0

    async def run(self) -> None:
        """Print until cancelled. Raises Refused where trying again makes no sense."""
        while True:
            reason = await self._connected()
            self._failures += 1
            if self._failures == 1:
                _whisper(f"{reason}; connecting again")
            await asyncio.sleep(backoff(self._failures, _BASE_SECONDS, _CAP_SECONDS))

    async def _connected(self) -> str:
        """One connection from beginning to end; why it ended."""
        address = self._address()
        try:
            headers = {"Authorization": f"Bearer {await self._token()}"}
            async with connect(
                address,
                additional_headers=headers,
                compression=None,
                open_timeout=_OPEN_SECONDS,
                max_size=_MAX_FRAME_BYTES,
                proxy=None,
            ) as socket:
                async for frame in socket:
                    await self._receive(socket, frame)
            return "the server closed the connection"
        except ConnectionClosed as error:
            return self._closed(error)
        except InvalidStatus as error:
            if error.response.status_code in _FINAL_STATUS:
                raise Refused(f"{address} answers {error.response.status_code}") from error
            return f"{address} answers {error.response.status_code}"
        except (OSError, WebSocketException, psycopg.OperationalError) as error:
            return f"no connection to {address} ({describe(error)})"

    def _address(self) -> str:
        # Looked up each time: `notify up` may have come back at another port.
        self._server = server_url(self._settings, self._server)
        base = self._server.replace("http", "ws", 1)
        query = f"?since={quote(self._since, safe=':')}" if self._since else ""
        return f"{base}/ws{query}"

    async def _token(self) -> str:
        """A fresh one for each connection, as it ends one day."""
        async with await connect_database(self._settings, name="listen") as connection:
            await perform(connection, calls.upsert_recipients([{"id": self._recipient}], replace=False))
            secret = await token_key(self._settings, connection)
        return new_token(secret, self._recipient, self._settings.token_ttl)[0]

    def _closed(self, error: ConnectionClosed) -> str:
        if error.rcvd is None:
            return "connection lost"
        code = error.rcvd.code
        said = f"the server closed the connection: {printable(str(error.rcvd))}"
        greeted_now = self._failures == 0 and self._greeted
        if code in _FINAL_CODES or (code == _NOT_AUTHENTICATED and not greeted_now):
            raise Refused(said) from error
        return said

    async def _receive(self, socket: ClientConnection, frame: str | bytes) -> None:
        received = datetime.now(UTC)
        try:
            event = _DECODER.decode(frame)
        except msgspec.ValidationError as error:
            _whisper(f"a frame that is not understood: {error}")
            return
        if self._json and not isinstance(event, _Tick):
            say(frame if isinstance(frame, str) else frame.decode())
        match event:
            case _Hello():
                self._replayed_to = event.last_seq  # what follows was in the stream before we came
                self._hello(event)
            case _Notification():
                self._notification(event, received)
                await socket.send(msgspec.json.encode({"type": "ack", "seq": event.seq}).decode())
            case _Reset():
                self._reset(event)
            case _Failure():
                _whisper(f"the server says {printable(event.code)}: {printable(event.detail)}")

    def _hello(self, event: _Hello) -> None:
        self._epoch = event.epoch
        if self._since == "now":  # else what comes while the connection is lost would be passed over
            self._since = f"{event.epoch}:{event.last_seq}"
        self._failures = 0
        line = f"{printable(event.recipient)}  last_seq {event.last_seq}  unread {event.unread}"
        if self._greeted:
            _whisper(f"connected again: {line}")
        elif not self._json:
            say(f"connected: {line}")
        self._greeted = True

    def _notification(self, event: _Notification, received: datetime) -> None:
        self._since = f"{self._epoch}:{event.seq}"
        if not self._json:
            came = event.notification.sent_at if event.seq <= self._replayed_to else received
            say(_line(event, came, received))

    def _reset(self, event: _Reset) -> None:
        self._epoch = event.epoch
        self._since = f"{event.epoch}:{event.last_seq}"
        _whisper(f"the stream does not go on from there; it goes on after seq {event.last_seq}")


def _line(event: _Notification, came: datetime, now: datetime) -> str:
    content = event.notification
    said = f"{printable(content.title)}: {printable(content.message)}"
    late = lateness(came, content.scheduled_at)
    return f"{stamp(came, now)}  seq {event.seq}  #{content.id}  {said}   {late}"


def _whisper(text: str) -> None:
    click.echo(f"notify: {text}", err=True)
