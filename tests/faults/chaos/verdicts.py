"""The promises, by what breaking one is called."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a run counts; each must be 0."""

    LOST = "lost"
    DOUBLED = "doubled"
    EARLY = "early"
    HOLE = "holes"
    CANCELLED_BUT_SENT = "cancelled but sent"
    UNASKED = "sent unasked"
    ROLLED_BACK = "rolled back but there"
    REPLAY = "wrong replays"
    RESCHEDULE = "reschedules ignored"
    WRONG = "wrong answers or contents"


class Verdict(NamedTuple):
    """One promise that was broken, and of what."""

    kind: Kind
    text: str
