"""The client libraries alone: aiosmtplib over a few connections; standardwebhooks signs what aiohttp
calls, with many calls under way.

    python -m bench.yardsticks.bare_clients mail|webhook PORT COUNT CONCURRENCY

Prints how many a second. Each mail is composed anew with the standard library, and each call has a body of its own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage

import aiohttp
import aiosmtplib
import msgspec
from standardwebhooks import Webhook

_TEXT = "A message of usual length, as people write it."


async def mail(port: int, count: int, connections: int) -> float:
    """Mails a second over so many connections."""
    left = iter(range(count))

    async def send_some() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            for number in left:
                message = EmailMessage()
                message["From"] = "bench@example.org"
                message["To"] = f"user-{number}@example.org"
                message["Subject"] = "Bench"
                message["Message-ID"] = f"<bench-{number}@example.org>"
                message.set_content(_TEXT)
                message.add_alternative(f"<p>{_TEXT}</p>", subtype="html")
                await client.send_message(message)

    return await _rate(count, [send_some() for _ in range(connections)])


async def webhook(port: int, count: int, calls: int) -> float:
    """Calls a second with so many under way."""
    left: Iterator[int] = iter(range(count))
    url = f"http://127.0.0.1:{port}/hook"
    signer = Webhook("whsec_bWVhc3VyZWQgb24gdGhpcyBtYWNoaW5lIG9ubHk=")

    async def call_some(session: aiohttp.ClientSession) -> None:
        for number in left:
            body = msgspec.json.encode({"type": "system", "data": {"id": number, "title": "Bench", "message": _TEXT}})
            now = datetime.now(UTC)
            headers = {
                "Content-Type": "application/json",
                "webhook-id": f"bench-{number}",
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signer.sign(f"bench-{number}", now, body.decode()),
            }
            async with session.post(url, data=body, headers=headers) as answer:
                answer.raise_for_status()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=calls)) as session:
        return await _rate(count, [call_some(session) for _ in range(calls)])


async def _rate(count: int, works: list[object]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*works)  # type: ignore[call-overload]  # coroutines all
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    kind, port, many, at_once = sys.argv[1], *map(int, sys.argv[2:5])
    print(asyncio.run((mail if kind == "mail" else webhook)(port, many, at_once)))
