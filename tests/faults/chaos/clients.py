"""Callers over HTTP: they schedule and change, and repeat under the same key until they know what happened."""

from __future__ import annotations

import math
import random
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from faults.chaos import outside
from faults.chaos.history import Answer, Call, History
from faults.chaos.pace import pause
from faults.chaos.world import KEY

_TIMEOUT_SECONDS = 5.0
# A call that is not answered for so long after all faults ended is left unknown.
_GIVE_UP_SECONDS = 60.0
_KEYED = 0.8
_REPEATED = 0.15
_REMEMBERED = 200
_WEIGHTS = {"schedule": 55, "cancel": 8, "cancel_reference": 6, "reschedule": 13, "send": 8, "retry": 5, "read": 5}
_IN_FLIGHT = "idempotency-key-in-flight"


class Names:
    """What all callers share: fresh references, and notifications that were acknowledged lately."""

    def __init__(self, rng: random.Random, recipients: Sequence[str]) -> None:
        self.rng = rng
        self.recipients = recipients
        self._numbers = count(1)
        self._lately: list[tuple[int, str]] = []

    def fresh(self, kind: str) -> str:
        return f"{kind}:{next(self._numbers)}"

    def audience(self) -> tuple[str, ...]:
        most = self.rng.choice((1, 3, 8, 20))
        return tuple(self.rng.sample(self.recipients, self.rng.randint(1, most)))

    def remember(self, call: Call) -> None:
        self._lately += [(id, str(call.reference)) for id in call.ids.values()]
        del self._lately[:-_REMEMBERED]

    def known(self) -> tuple[int, str]:
        """One of the notifications of late, and its reference."""
        return self.rng.choice(self._lately) if self._lately else (0, "none")


class HttpCaller:
    """One application."""

    def __init__(self, urls: Sequence[str], names: Names, history: History) -> None:
        self._urls, self._names, self._history = urls, names, history
        self._rng = random.Random(names.rng.random())
        self._gives_up_at = math.inf

    @property
    def stopping(self) -> bool:
        return self._gives_up_at < math.inf

    def stop(self) -> None:
        """Begin no further call; one under way is repeated for a while yet."""
        self._gives_up_at = time.monotonic() + _GIVE_UP_SECONDS

    async def run(self, pace: float) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, headers=headers) as self._client:
            while not self.stopping:
                (kind,) = self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
                await getattr(self, f"_{kind}")()
                await pause(self._rng.uniform(0, 2 * pace))

    async def _schedule(self) -> None:
        call = self._call("schedule", reference=self._names.fresh("http"), recipients=self._names.audience())
        delay = self._rng.choice((None, None, self._rng.uniform(0.2, 5), self._rng.uniform(0.2, 5), 3600))
        outside.choose(call, self._rng)
        body = content(call) | {"recipients": call.recipients, "channels": call.channels, "retry": outside.policy(call)}
        if delay is not None:
            call.due_at = round(call.started + delay, 3)
            body["scheduled_at"] = written(call.due_at)
        if self._rng.random() < 0.15:
            call.expires_at = round(call.started + (delay or 0) + self._rng.uniform(0.5, 20), 3)
            body["expires_at"] = written(call.expires_at)
        if (told := await self._ask(call, "POST", "/api/notifications/schedule/", body)) and call.outcome == "ok":
            call.ids = {one["recipient"]: one["id"] for one in told["notifications"]}
            self._names.remember(call)

    async def _cancel(self) -> None:
        call = self._change("cancel")
        await self._ask(call, "DELETE", f"/api/notifications/{call.id}/cancel_scheduled/")

    async def _cancel_reference(self) -> None:
        call = self._call("cancel_reference", reference=self._names.known()[1])
        if (told := await self._ask(call, "DELETE", f"/api/notifications?reference={quote(str(call.reference))}")) and (
            call.outcome == "ok"
        ):
            call.count = told["cancelled"]

    async def _reschedule(self) -> None:
        call = self._change("reschedule")
        call.due_at = round(call.started + self._rng.choice((self._rng.uniform(0.2, 5), 3600)), 3)
        await self._ask(call, "PATCH", f"/api/notifications/{call.id}", {"scheduled_at": written(call.due_at)})

    async def _send(self) -> None:
        await self._moved(self._change("send"), "send")

    async def _retry(self) -> None:
        await self._moved(self._change("retry"), "retry", {"delay_minutes": 0})

    async def _moved(self, call: Call, verb: str, body: dict[str, Any] | None = None) -> None:
        """A change whose time the service chooses and tells."""
        if (told := await self._ask(call, "POST", f"/api/notifications/{call.id}/{verb}", body)) and (
            call.outcome == "ok"
        ):
            call.due_at = seconds(told["scheduled_at"])

    async def _read(self) -> None:
        recipient = self._rng.choice(self._names.recipients)
        path = f"/api/inbox/read?recipient={quote(recipient)}"
        await self._ask(self._call("read"), "POST", path, {"up_to_seq": self._rng.randint(1, 200)})

    def _change(self, kind: str) -> Call:
        return self._call(kind, id=self._names.known()[0])

    def _call(self, kind: str, **about: Any) -> Call:
        key = self._names.fresh("key") if self._rng.random() < _KEYED else None
        return self._history.begin(Call(kind, time.time(), key=key, **about))

    async def _ask(self, call: Call, method: str, path: str, body: Any = None) -> Any:
        """Ask until the outcome is known, which without a key is once. The body of the first answer."""
        while not await self._try(call, method, path, body):
            if call.key is None or time.monotonic() > self._gives_up_at:
                return None
            await pause(self._rng.uniform(0.1, 0.8))
        first = call.answers[0]
        if call.key is not None and self._rng.random() < _REPEATED:
            await self._try(call, method, path, body)
        return msgspec.json.decode(first.body)

    async def _try(self, call: Call, method: str, path: str, body: Any) -> bool:
        """Whether it was answered; a call that may not have arrived stays unknown."""
        headers = {"Idempotency-Key": call.key} if call.key else {}
        try:
            url = self._rng.choice(self._urls) + path
            answer = await self._client.request(method, url, json=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            note(call, "failed" if call.key is None else "unknown", repr(error))
            return False
        except httpx.TransportError as error:
            note(call, "unknown", repr(error))
            return False
        return judge(call, answer)


def judge(call: Call, answer: httpx.Response) -> bool:
    """Note what an answer says; whether it is final."""
    problem = msgspec.json.decode(answer.content) if answer.status_code >= 400 else {}
    slug = str(problem.get("type", "")).rpartition(":")[2]
    why = f"{answer.status_code} {slug}"
    if answer.status_code >= 500 or answer.status_code == 429 or slug == _IN_FLIGHT:
        nothing_happened = slug in ("busy", "too-many-requests")
        note(call, "failed" if nothing_happened and call.key is None else "unknown", why)
        return False
    call.answers.append(
        Answer(answer.status_code, answer.content, answer.headers.get("Idempotency-Replayed") == "true")
    )
    if len(call.answers) == 1:
        call.told = problem.get("notification_status") or ("not found" if answer.status_code == 404 else None)
        note(call, "ok" if answer.is_success else "failed", "" if answer.is_success else why)
    return True


def note(call: Call, outcome: Any, why: str) -> None:
    """The outcome as far as it is known. What is known already stays."""
    if not call.answers or call.outcome == "unknown":
        call.outcome, call.why = outcome, why
        if outcome != "unknown":
            call.ended = time.time()


def content(call: Call) -> dict[str, Any]:
    """What the notification says: it names its operation."""
    priority = ("low", "normal", "high", "urgent")[zlib.crc32(str(call.reference).encode()) % 4]
    return {"title": f"Title of {call.reference}", "message": "M", "reference": call.reference, "priority": priority}


def written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
