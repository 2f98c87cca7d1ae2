"""A mail server and a webhook receiver that take everything and keep nothing but the count.

    python -m bench.yardsticks.sinks

Prints where they listen. `GET /` of the receiver answers how many mails and how many calls there were.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session


class _Taker:
    """Counts mails; aiosmtpd calls it by this name."""

    def __init__(self) -> None:
        self.mails = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.mails += 1
        return "250 taken"


async def main() -> None:
    """Serve until killed."""
    taker = _Taker()
    calls = 0

    async def take(request: web.BaseRequest) -> web.Response:
        nonlocal calls
        if request.method == "GET":
            return web.json_response({"mails": taker.mails, "calls": calls})
        await request.read()
        calls += 1
        return web.Response(status=204)

    loop = asyncio.get_running_loop()
    server: Any = web.Server(take, access_log=None)
    receiver = await loop.create_server(server, "127.0.0.1", 0, backlog=1024)
    mail = await loop.create_server(lambda: SMTP(taker, hostname="sink.example.org", loop=loop), "127.0.0.1", 0)
    smtp_port, http_port = (one.sockets[0].getsockname()[1] for one in (mail, receiver))
    print(f"sinks at 127.0.0.1 {smtp_port} {http_port} ", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
