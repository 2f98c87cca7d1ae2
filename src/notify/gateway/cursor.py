"""Where a client wants its stream to begin: `?since=`."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from notify.errors import InvalidValue

_FORM = re.compile(r"(?:(?P<epoch>[0-9a-f]{1,16}-[0-9A-F]{1,8}-[0-9]{1,19}):)?(?P<seq>[0-9]{1,19})", re.ASCII)
_LARGEST = 2**63 - 1


class Cursor(msgspec.Struct, frozen=True):
    """After `seq`, of history `epoch` if that is given; or after what was acknowledged; or only what comes."""

    start: Literal["acked", "now", "seq"] = "acked"
    seq: int = 0
    epoch: str | None = None


def parse(text: str | None) -> Cursor:
    """`SEQ`, `EPOCH:SEQ`, `acked` (also None) or `now`. Raises InvalidValue for anything else."""
    if text is None or text == "acked":
        return Cursor("acked")
    if text == "now":
        return Cursor("now")
    match = _FORM.fullmatch(text)
    if match is None or int(match["seq"]) > _LARGEST:
        raise InvalidValue("since must be SEQ, EPOCH:SEQ, acked or now", field="since")
    return Cursor("seq", int(match["seq"]), match["epoch"])
