"""What operators look at and change of outside channels, as calls: channels, types, deliveries, addresses.

HTTP and the command line run these, as they do those of `calls`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from notify.calls import Call, every, first, first_or_none
from notify.errors import NotFound
from notify.model import (
    ChannelState,
    DeliveryCount,
    DeliveryStatus,
    ListedDelivery,
    Replayed,
    ShownDelivery,
    TypeState,
)

# What a filter wants may be rare among millions of rows: a page is looked for among so many at most.
MOST_WALKED = 200_000
MOST_REPLAYED = 100_000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries a list has; None: any."""

    status: DeliveryStatus | None = None
    channel: str | None = None
    code: str | None = None
    recipient: str | None = None
    batch_id: int | None = None
    notification_id: int | None = None


def list_deliveries(
    wanted: Wanted, *, before: int | None, floor: int | None, limit: int
) -> Call[ListedDelivery, list[ListedDelivery]]:
    """Up to `limit` deliveries, the newest first, with ids below `before` and not below `floor`.

    Each way of looking has a statement of its own, so that the server's plan for one cannot be a bad plan for another.
    """
    if wanted.notification_id is not None:
        statement = "list_deliveries_of_notification"
    elif wanted.batch_id is not None:
        statement = "list_deliveries_of_batch"
    elif wanted.recipient is not None:
        statement = "list_deliveries_of_recipient"
    else:
        statement = "list_unsent_deliveries" if _is_unsent(wanted) else "list_deliveries"
    parameters: dict[str, Any] = {**msgspec.structs.asdict(wanted), "before": before, "floor": floor, "limit": limit}
    return Call(statement, ListedDelivery, parameters, every)


def delivery_floor(wanted: Wanted, before: int | None) -> Call[int, int | None] | None:
    """Down to where a list may look for these; its answer is None where that is the end. None: no bound is needed."""
    if (wanted.notification_id, wanted.batch_id, wanted.recipient) != (None, None, None):
        return None
    if (wanted.status, wanted.channel, wanted.code) == (None, None, None):
        return None
    statement = "unsent_delivery_floor" if _is_unsent(wanted) else "delivery_floor"
    return Call(statement, int, {"before": before, "rows": MOST_WALKED}, first_or_none)


def _is_unsent(wanted: Wanted) -> bool:
    """Whether none of those that were sent is meant: the others are few, and have an index of their own."""
    return wanted.status not in (None, "sent")


def show_delivery(id: int) -> Call[ShownDelivery, ShownDelivery | None]:
    """One delivery with its attempts; None if there is no such one."""
    return Call("show_delivery", ShownDelivery, {"id": id}, first_or_none)


def count_deliveries() -> Call[DeliveryCount, list[DeliveryCount]]:
    """How many stand where. Reads every row."""
    return Call("count_deliveries", DeliveryCount, {}, every)


def replay_deliveries(ids: Sequence[int]) -> Call[int, int]:
    """Make those of these that failed due again; how many."""
    return Call("replay_deliveries", int, {"ids": list(ids)}, first)


def replay_failed(
    *,
    channel: str | None = None,
    code: str | None = None,
    batch_id: int | None = None,
    failed_from: datetime | None = None,
    failed_to: datetime | None = None,
    limit: int = 1_000,
) -> Call[Replayed, Replayed]:
    """Make up to `limit` failed deliveries due again, the oldest first; None: any. `failed_to` is excluded."""
    parameters = {
        "channel": channel,
        "code": code,
        "batch_id": batch_id,
        "failed_from": failed_from,
        "failed_to": failed_to,
        "limit": limit,
    }
    return Call("replay_failed", Replayed, parameters, first)


def list_channels() -> Call[ChannelState, list[ChannelState]]:
    """All channels, by name."""
    return Call("list_channels", ChannelState, {}, every)


def get_channel(name: str) -> Call[ChannelState, ChannelState | None]:
    """One channel; None if there is no such one."""
    return Call("get_channel", ChannelState, {"channel": name}, first_or_none)


def set_channel(name: str, changes: Any) -> Call[bool, bool]:
    """Change what `changes` gives of paused, rate and retry; whether there is such a channel."""
    return Call("set_channel", bool, {"channel": name, "changes": msgspec.json.encode(changes).decode()}, first)


def no_channel(name: str, channels: list[ChannelState]) -> NotFound:
    """The refusal of a channel that is none of these."""
    known = ", ".join(channel.name for channel in channels)
    return NotFound(
        f"there is no channel {name[:64]!r}; known are {known}. A worker makes known what it serves when it starts"
    )


def list_types() -> Call[TypeState, list[TypeState]]:
    """All types about which something was said, by name."""
    return Call("list_types", TypeState, {}, every)


def get_type(name: str) -> Call[TypeState, TypeState]:
    """What holds for a type; where nothing was said about it, the defaults."""
    return Call("get_type", TypeState, {"type": name}, first)


def set_type(name: str, changes: Any) -> Call[str, str]:
    """Change what `changes` gives of required, paused and retry."""
    return Call("set_type", str, {"type": name, "changes": msgspec.json.encode(changes).decode()}, first)


def enable_address(recipient: str, channel: str) -> Call[bool, bool]:
    """Forget that a recipient's address failed or was disabled; whether there was anything to forget."""
    return Call("enable_address", bool, {"recipient": recipient, "channel": channel}, first)
