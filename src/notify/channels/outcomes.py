"""What a channel returned, made fit to be stored: nothing has looked at what an application's own channel made."""

from __future__ import annotations

import math
import re
from typing import cast

import msgspec

from notify.channels.protocol import MOST_DETAIL, Outcome, retry

_MOST_WAIT = 86_400.0
_NOT_OF_A_CODE = re.compile(r"[^a-z0-9-]+")


def sound(outcome: Outcome) -> Outcome:
    """An outcome as it may be stored, whatever a channel returned."""
    if not isinstance(cast(object, outcome), Outcome) or outcome.kind not in ("sent", "retry", "final"):
        return retry("error", f"the channel returned {outcome!r}, and no outcome")
    if not _is_plain(outcome):
        return retry("error", f"the channel returned {outcome!r}, whose fields are not of the right kind")
    after = outcome.retry_after
    code = _NOT_OF_A_CODE.sub("-", outcome.code.lower())[:64] if outcome.code else ""
    after = None if after is None or math.isnan(after) else min(max(after, 0.0), _MOST_WAIT)
    if (code, after) == (outcome.code, outcome.retry_after) and len(outcome.detail) <= MOST_DETAIL:
        return outcome
    return msgspec.structs.replace(outcome, code=code, retry_after=after, detail=outcome.detail[:MOST_DETAIL])


def _is_plain(outcome: Outcome) -> bool:
    """Whether it is what its types say: nothing has looked at what a channel made it of."""
    texts, marks = (outcome.code, outcome.detail), (outcome.outage, outcome.disable, outcome.unreachable)
    return (
        all(isinstance(one, str) for one in texts)
        and all(isinstance(one, bool) for one in marks)
        and (outcome.retry_after is None or isinstance(outcome.retry_after, int | float))
    )
