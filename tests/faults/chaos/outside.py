"""The provider outside: what it answers, what is scheduled for it, and what came there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from faults.chaos.deliveries import OUTSIDE
from faults.chaos.history import Call, Request
from helpers.receiver import Answer, Received

SECRET = "whsec_" + "c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz"
# Of the workers: the shortest lease that may be set, and attempts that end soon.
SETTINGS = {
    "outside_allow": "127.0.0.0/8",
    "webhook_secret": SECRET,
    "lease_seconds": "20",
    "send_seconds": "2",
}
GOOD = Answer()
_ANSWERS = (
    (60, GOOD),
    # Long enough that workers are killed and leases end meanwhile.
    (20, Answer(after=1.5)),
    (3, Answer(500)),
    (3, Answer(500, after=1)),
    (4, Answer(503, {"Retry-After": "1"})),
    (3, Answer(way="drop")),
    (3, Answer(way="drop", after=1)),
    (4, Answer(way="hang")),
)
_CHANNELS: dict[tuple[str, ...], int] = {("inbox",): 70, ("inbox", OUTSIDE): 15, (OUTSIDE,): 15}
# Most are tried until they get through; some are given up soon.
_RETRIES = (1, 20, 20)
_DELAY_SECONDS = 0.3


def drawn_answers(rng: random.Random) -> Callable[[], Answer]:
    """What the receiver answers next: mostly that all is well."""
    weights, answers = [weight for weight, _ in _ANSWERS], [answer for _, answer in _ANSWERS]
    return lambda: rng.choices(answers, weights)[0]


def choose(call: Call, rng: random.Random) -> None:
    """On which channels a call schedules, and how often that is tried again."""
    (call.channels,) = rng.choices(list(_CHANNELS), list(_CHANNELS.values()))
    call.retries = rng.choice(_RETRIES) if OUTSIDE in call.channels else 0


def policy(call: Call) -> dict[str, Any] | None:
    """The retry policy that it asks for."""
    return {"delays": [_DELAY_SECONDS] * call.retries, "jitter": 0} if call.retries else None


def as_requests(came: Iterable[Received]) -> Iterator[Request]:
    """What came, as the checker sees it."""
    used: set[int] = set()
    for one in came:
        said, stable_id = one.json()["data"], one.headers["webhook-id"]
        cut = one.way == "drop" and one.connection in used
        yield Request(stable_id, said["id"], said["recipient"], said["title"], said["reference"], one.at, cut)
        used.add(one.connection)
