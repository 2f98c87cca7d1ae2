"""Both clients behind one face: `await client.call(...)` whichever it is."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from notify import AsyncNotificationScheduler, InvalidValue, NotificationScheduler

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


class Either:
    """A client whose methods are all awaited; those of the sync one are done when they return."""

    def __init__(self, kind: Kind, *args: Any, **kwargs: Any) -> None:
        make: type[NotificationScheduler] | type[AsyncNotificationScheduler]
        make = NotificationScheduler if kind == "sync" else AsyncNotificationScheduler
        self.kind = kind
        self.scheduler = make(*args, **kwargs)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.scheduler, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return call


async def refusal_of(call: Awaitable[Any], shown: str) -> InvalidValue:
    """What the call was refused with; it must be. `shown` says which one this is."""
    try:
        accepted = await call
    except InvalidValue as refusal:
        return refusal
    raise AssertionError(f"accepted: {shown}: {accepted!r:.100}")
