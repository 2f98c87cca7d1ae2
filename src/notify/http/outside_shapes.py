"""What calls about outside channels take: the structs of their bodies and query strings."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from notify.control import MOST_REPLAYED
from notify.http.bodies import MOST_ID
from notify.http.policies import RetryPolicy
from notify.http.shapes import ID_TEXT, NO_NUL, Cursor, Limit, Time
from notify.model import DeliveryStatus

_Id = Annotated[int, Meta(ge=1, le=MOST_ID)]
_Code = Annotated[str, Meta(min_length=1, max_length=64, extra_json_schema=NO_NUL)]
_Channel = Annotated[str, Meta(min_length=1, max_length=32, extra_json_schema=NO_NUL)]
_Rate = Annotated[float, Meta(ge=0.001, le=100_000)]
_ReplayLimit = Annotated[int, Meta(ge=1, le=MOST_REPLAYED, description="Most deliveries of this request.")]


class DeliveryQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which deliveries to list."""

    status: Annotated[DeliveryStatus | UnsetType, Meta(description="Only those with this status.")] = UNSET
    channel: Annotated[_Channel | UnsetType, Meta(description="Only those on this channel.")] = UNSET
    code: Annotated[_Code | UnsetType, Meta(description="Only those whose last failure was this.")] = UNSET
    recipient: Annotated[ID_TEXT | UnsetType, Meta(description="Only this recipient's.")] = UNSET
    batch_id: Annotated[_Id | UnsetType, Meta(description="Only those of this schedule request.")] = UNSET
    notification_id: Annotated[_Id | UnsetType, Meta(description="Only those of this notification.")] = UNSET
    cursor: Annotated[
        Cursor | UnsetType,
        Meta(description="`next_cursor` of the page before. Opaque, and only for the same filters."),
    ] = UNSET
    limit: Limit = 50


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Which failed deliveries to make due again: those that fit all that is given."""

    channel: Annotated[_Channel | None, Meta(description="On this channel.")] = None
    code: Annotated[_Code | None, Meta(description="Whose last failure was this.")] = None
    batch_id: Annotated[_Id | None, Meta(description="Of this schedule request.")] = None
    failed_from: Annotated[Time | None, Meta(description="That failed at this time or later.")] = None
    failed_to: Annotated[Time | None, Meta(description="That failed before this time.")] = None
    all: Annotated[bool, Meta(description="Needed where nothing else is given: all that failed.")] = False
    limit: _ReplayLimit = 1_000


class BatchReplayRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How much to replay of a batch."""

    limit: _ReplayLimit = 1_000


class ChannelChanges(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What to change of a channel; what is not given stays."""

    paused: Annotated[bool | UnsetType, Meta(description="Whether what is due on it waits.")] = UNSET
    rate: Annotated[
        _Rate | UnsetType | None,
        Meta(description="Most deliveries a second, all workers together; null: no limit."),
    ] = UNSET
    retry: Annotated[
        RetryPolicy | UnsetType | None, Meta(description="Its part of the retry policy; null: nothing of its own.")
    ] = UNSET


class TypeChanges(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What to change of a type of notification; what is not given stays."""

    required: Annotated[bool | UnsetType, Meta(description="Whether recipients cannot opt out of it.")] = UNSET
    paused: Annotated[bool | UnsetType, Meta(description="Whether its deliveries wait.")] = UNSET
    retry: Annotated[
        RetryPolicy | UnsetType | None,
        Meta(description="Its part of the retry policy, stronger than the channel's; null: nothing of its own."),
    ] = UNSET


class EnableRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which address to use again."""

    channel: Annotated[_Channel, Meta(description="The channel it is of.")]
