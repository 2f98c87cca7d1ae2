"""Parts of requests that mean something to notify: how failures are dealt with, and what a recipient wants.

What is said here to clients is checked by the SQL functions, which everybody goes through; of a retry policy the
server refuses already while reading it, so that the very place is named.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from notify.http.refusals import ERROR_CODE

# A whole number stays one: it is stored, and shown, as it was sent.
_Delay = Annotated[int, Meta(ge=0, le=604_800)] | Annotated[float, Meta(ge=0, le=604_800)]
_Age = Annotated[int, Meta(ge=1, le=2_592_000)] | Annotated[float, Meta(ge=1, le=2_592_000)]
_Pattern = Annotated[str, Meta(pattern=f"^{ERROR_CODE}$")]


class RetryPolicy(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How failures of deliveries are dealt with. What is left out is as the type, the channel or the default says."""

    delays: Annotated[
        Annotated[list[_Delay], Meta(max_length=20)] | UnsetType,
        Meta(description="Seconds to wait after the first failure, the second, …; as many retries as there are."),
    ] = UNSET
    jitter: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | UnsetType,
        Meta(description="Up to so large a part of each delay is added to it at random."),
    ] = UNSET
    max_age: Annotated[
        _Age | UnsetType,
        Meta(description="Seconds after which nothing is tried any more."),
    ] = UNSET
    final: Annotated[
        Annotated[list[_Pattern], Meta(max_length=50)] | UnsetType,
        Meta(description="Error codes after which nothing is tried again, as `http-404`; `http-4xx` is all of them."),
    ] = UNSET


_TIME = {"type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$"}
_WHAT = {
    "channel": {"type": "string", "format": "outside-channel", "description": "On this channel, else on all outside."},
    "type": {"type": "string", "description": "Of this type, else of all."},
}
_BY = {
    "const": "recipient",
    "description": "The recipient itself opted out, as by a link to unsubscribe: it stays until an `opt_in` lifts it.",
}


def _list(description: str, properties: dict[str, Any], **least: Any) -> dict[str, Any]:
    item = {"type": "object", "properties": properties, "additionalProperties": False, **least}
    return {"description": description, "type": ["array", "null"], "maxItems": 200, "items": item}


_OPT_OUT = _list(
    "What is not wanted outside the inbox: a channel, a type, or a type on a channel. Urgent notifications, and those "
    "of required types, come all the same.",
    {**_WHAT, "by": _BY},
    anyOf=[{"required": [name]} for name in _WHAT],
)
_OPT_IN = _list(
    "What the recipient has asked for again: of its `opt_out`, each entry with `by` that holds all that one of these "
    "names is removed. Not stored.",
    _WHAT,
    minProperties=1,
)
_QUIET_HOURS = {
    "description": "When nothing is to leave on outside channels but what is urgent; it waits. Times of the "
    "recipient's time zone, which must differ; from 22:00 to 7:00 is a night.",
    "type": ["object", "null"],
    "properties": {"from": _TIME, "to": _TIME},
    "required": ["from", "to"],
    "additionalProperties": False,
}
# For `preferences`, whose other members are the application's own.
PREFERENCES: dict[str, Any] = {
    "properties": {"opt_out": _OPT_OUT, "opt_in": _OPT_IN, "quiet_hours": _QUIET_HOURS},
}
