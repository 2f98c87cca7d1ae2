"""How late frames are: `just bench-latency [ROUNDS]`.

Starts `notify up` on a fresh data directory as a process of its own, connects one websocket, and measures

  scheduled   from `scheduled_at` until the frame is at the client, scheduled 2 s or more ahead, 40 ms apart
  now         from just before the POST until the frame is at the client, one at a time, with random pauses

with both alarm clocks, with the ticker alone (no dispatch jobs) and with the jobs alone. Client, service and Postgres
run on this machine and share its clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import websockets

KEY = "ntf_bench_latency_only_on_loopback"
PORT = 18_999
URL = f"http://127.0.0.1:{PORT}"
MODES = {
    "both clocks": {},
    "ticker alone": {"NOTIFY_JOBS_ENABLED": "false"},
    "jobs alone": {"NOTIFY_TICKER_ENABLED": "false"},
}
# The first sends pay for connections and for plans that are not cached yet.
WARM_UP = 10


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{rounds} rounds each, milliseconds; {os.cpu_count()} CPUs, client and service on the same machine")
    print(f"{'':14} {'measured':10} {'p50':>8} {'p99':>8} {'max':>8}")
    for mode, settings in MODES.items():
        with service(settings):
            for name, lateness in asyncio.run(measure(rounds if mode == "both clocks" else max(rounds // 4, 20))):
                print(f"{mode:14} {name:10} {row(lateness)}", flush=True)
    print("a poll once a minute, the usual way, is 30,000 late on average")


def row(lateness: list[float]) -> str:
    ordered = sorted(lateness)
    p99 = ordered[max(0, -(-len(ordered) * 99 // 100) - 1)]
    return f"{statistics.median(ordered):8.1f} {p99:8.1f} {ordered[-1]:8.1f}"


@contextmanager
def service(settings: dict[str, str]) -> Iterator[None]:
    """`notify up` on a fresh data directory, until it says that it is ready; stopped at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFY_")}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        process = subprocess.Popen(
            ["notify", "up", "--port", str(PORT), "--data-dir", folder],
            env=inherited | settings | {"NOTIFY_API_KEY": KEY, "NOTIFY_LOG_LEVEL": "warning"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if not any("notify ready" in line for line in process.stdout):
                raise SystemExit("notify up did not become ready")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


async def measure(rounds: int) -> list[tuple[str, list[float]]]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=URL, headers=headers) as http:
        (await http.put("/api/recipients/bench", json={})).raise_for_status()
        uri = f"ws://127.0.0.1:{PORT}/ws?recipient=bench"
        async with websockets.connect(uri, additional_headers=headers, compression=None) as socket:
            json.loads(await socket.recv())
            await now(http, socket, WARM_UP)
            return [("scheduled", await scheduled(http, socket, rounds)), ("now", await now(http, socket, rounds))]


async def scheduled(http: httpx.AsyncClient, socket: websockets.ClientConnection, rounds: int) -> list[float]:
    """Lateness in milliseconds of notifications scheduled ahead; nothing is posted while they arrive."""
    first = datetime.now(UTC) + timedelta(seconds=2 + rounds * 0.01)
    for number in range(rounds):
        at = first + timedelta(milliseconds=40 * number + random.uniform(0, 20))
        await post(http, {"scheduled_at": at.isoformat()})
    late = []
    for _ in range(rounds):
        frame = await next_notification(socket)
        due = datetime.fromisoformat(frame["notification"]["scheduled_at"])
        late.append((time.time() - due.timestamp()) * 1000)
    return late


async def now(http: httpx.AsyncClient, socket: websockets.ClientConnection, rounds: int) -> list[float]:
    """Milliseconds from POST to frame, one at a time."""
    late = []
    for _ in range(rounds):
        await asyncio.sleep(random.uniform(0.02, 0.12))
        started = time.perf_counter()
        arrival = asyncio.create_task(next_notification(socket))
        await post(http, {})
        await arrival
        late.append((time.perf_counter() - started) * 1000)
    return late


async def post(http: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    body = {"recipients": ["bench"], "title": "Bench", "message": "Tick", **fields}
    (await http.post("/api/notifications/schedule/", json=body)).raise_for_status()


async def next_notification(socket: websockets.ClientConnection) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = json.loads(await socket.recv())
        if frame["type"] == "notification":
            return frame


if __name__ == "__main__":
    main()
