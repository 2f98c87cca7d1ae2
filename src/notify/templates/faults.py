"""Why a template cannot be rendered, in words. In which locale and part is added by who knows it."""

from __future__ import annotations

_MOST_SHOWN = 60


def shown(text: object) -> str:
    """What somebody wrote, as far as a message has room for it."""
    written = str(text)
    return written if len(written) <= _MOST_SHOWN else f"{written[:_MOST_SHOWN]}…"


class Fault(Exception):
    """Something in the template, or in what the variables make of it. No ValueError: filters catch those."""


class Excess(Fault):
    """A limit was exceeded; the message names it."""


class Absent(Fault):
    """Something is used that is not there. `variable` is its name, if it is a variable and not a part of one."""

    def __init__(self, message: str, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable
