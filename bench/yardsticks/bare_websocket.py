"""The bare framework with websockets: a Litestar handler that sends a client what is put into its queue.

`python -m bench.yardsticks.bare_websocket` serves on a free port with the server that notify has (uvicorn, uvloop,
httptools, websockets-sansio, no deflate), and prints where. `POST /send` gives each client so many frames, one at a
time; they look and weigh as notify's do.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from litestar import Litestar, WebSocket, post, websocket
from litestar.exceptions import WebSocketDisconnect

from notify.serve import raise_file_limit

_HELLO = '{"type":"hello","epoch":""}'
_queues: set[asyncio.Queue[str]] = set()


@websocket("/ws")
async def serve(socket: WebSocket[Any, Any, Any]) -> None:
    """Send what is put into the queue, until the client leaves."""
    await socket.accept()
    queue: asyncio.Queue[str] = asyncio.Queue()
    await socket.send_text(_HELLO)
    _queues.add(queue)
    sending = asyncio.create_task(_send(socket, queue))
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        _queues.discard(queue)
        sending.cancel()


async def _send(socket: WebSocket[Any, Any, Any], queue: asyncio.Queue[str]) -> None:
    while True:
        await socket.send_text(await queue.get())


@post("/send")
async def send(rounds: int, size: int, pause: float) -> None:
    """One frame to each client a round."""
    for number in range(1, rounds + 1):
        start = f'{{"type":"notification","seq":{number},"filling":"'
        frame = start + "x" * (size - len(start) - 2) + '"}'
        for queue in _queues:
            queue.put_nowait(frame)
        await asyncio.sleep(pause)


def main() -> None:
    """Serve until SIGTERM."""
    raise_file_limit()
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"bare ready at http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        Litestar([serve, send], openapi_config=None, logging_config=None),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=25,
        ws_ping_timeout=8,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
