"""A mail server and a webhook receiver that take everything and keep nothing but the count.

    python -m bench.yardsticks.sinks

Prints where they listen. `GET /` of the receiver answers how many mails and how many calls there were. Both stand for
other machines, so they are to cost this one as little as possible.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools
import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Taker:
    """Counts mails; aiosmtpd calls it by this name."""

    def __init__(self) -> None:
        self.mails = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.mails += 1
        return "250 taken"


class _Receiver(asyncio.Protocol):
    """One connection: httptools calls the methods whose names begin with `on_`."""

    calls = 0

    def __init__(self, taker: _Taker) -> None:
        self._taker = taker
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            body = b'{"mails": %d, "calls": %d}' % (self._taker.mails, _Receiver.calls)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        else:
            _Receiver.calls += 1
            self._transport.write(_TAKEN)


async def main() -> None:
    """Serve until killed."""
    taker = _Taker()
    loop = asyncio.get_running_loop()
    receiver = await loop.create_server(lambda: _Receiver(taker), "127.0.0.1", 0, backlog=1024)
    mail = await loop.create_server(lambda: SMTP(taker, hostname="sink.example.org", loop=loop), "127.0.0.1", 0)
    smtp_port, http_port = (one.sockets[0].getsockname()[1] for one in (mail, receiver))
    print(f"sinks at 127.0.0.1 {smtp_port} {http_port} ", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
