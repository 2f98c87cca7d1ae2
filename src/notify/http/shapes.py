"""What calls take: the structs of request bodies and query strings, with the words of the documentation.

Lengths, patterns and formats are told to clients here. What msgspec does not enforce by itself (patterns, formats,
bytes instead of characters) is checked by `recipients_input`, `bodies` and the SQL functions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from notify.http.bodies import MOST_ID
from notify.http.policies import PREFERENCES, RetryPolicy
from notify.http.refusals import MOST_DEPTH
from notify.inputs import MOST_DATA_BYTES, MOST_PER_PAGE, MOST_RECIPIENTS
from notify.model import Status
from notify.templates.rendering import NAME

MOST_UPSERTS = 10_000
MOST_READ = 10_000
MOST_MINUTES = 2_592_000
# As far as Postgres counts in an integer.
MOST_VERSION = 2**31 - 1
MOST_SPREAD = 10_080
# 10,000 ids of 19 digits, each on a line of its own and indented.
MOST_READ_BYTES = 524_288
# 16 KiB in which every character is escaped.
MOST_RECIPIENT_BYTES = 131_072

NO_NUL = {"pattern": r"^[^\u0000]*$"}
ID_TEXT = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        extra_json_schema={"format": "recipient-id", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"},
        description="1 to 128 bytes of UTF-8, no control characters.",
    ),
]
_ID_NUMBER = Annotated[
    int, Meta(ge=-(2**63), le=2**63 - 1, description="The same recipient as its decimal digits as a text.")
]
RecipientId = _ID_NUMBER | ID_TEXT
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, with Z or an offset.")]
FutureTime = Annotated[
    datetime,
    Meta(
        tz=True,
        description="RFC 3339, with Z or an offset. In the future, at most 5 years ahead.",
        extra_json_schema={"format": "date-time", "x-format": "future"},
    ),
]
Object = dict[str, Any]
TimeZone = Annotated[
    str,
    Meta(min_length=1, max_length=100, description="An IANA name.", extra_json_schema={"format": "time-zone"}),
]
Locale = Annotated[
    str,
    Meta(
        description="A language tag.",
        extra_json_schema={"pattern": "^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$"},
    ),
]
Email = Annotated[
    str,
    Meta(
        max_length=320,
        description="Short for `addresses.email`, and stronger than it.",
        extra_json_schema={"format": "email"},
    ),
]
TemplateName = Annotated[str, Meta(description="Name of a template.", extra_json_schema={"pattern": f"^{NAME}$"})]
TemplateVersion = Annotated[int, Meta(ge=1, le=MOST_VERSION)]
Variables = Annotated[
    Raw,
    Meta(
        description=f"Values for the template's variables: an object of at most {MOST_DATA_BYTES} bytes.",
        extra_json_schema={"type": "object", "default": {}},
    ),
]
Type = Annotated[str, Meta(min_length=1, max_length=100, extra_json_schema=NO_NUL)]
Reference = Annotated[str, Meta(min_length=1, max_length=200, description="Your own key.", extra_json_schema=NO_NUL)]


class RecipientFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What is known of a recipient. All of it together has at most 16 KiB as JSON."""

    time_zone: Annotated[TimeZone | None, Meta(description="IANA time zone; null: UTC.")] = None
    locale: Annotated[Locale | None, Meta(description="Language tag, as de or pt-BR.")] = None
    email: Annotated[Email | None, Meta(description="Short for `addresses.email`.")] = None
    addresses: Annotated[
        dict[str, str | Object] | None,
        Meta(
            description='Addresses by channel, as `{"email": "ada@example.org"}`. '
            "Those of email, webhook and apprise are looked at."
        ),
    ] = None
    preferences: Annotated[
        Annotated[Object, Meta(extra_json_schema=PREFERENCES)] | None,
        Meta(
            description="What the recipient wants: `opt_out` and `quiet_hours` are kept to on outside channels, all "
            "else is your application's own. What the recipient has opted out of itself stays, whatever is "
            "given, until an `opt_in` lifts it."
        ),
    ] = None


class RecipientInput(RecipientFields, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A recipient to register, or to update: what is not given stays as it is."""

    id: Annotated[RecipientId, Meta(description="Your own id of the recipient.")]


class ScheduleRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What is to be sent, to whom, and when."""

    recipients: Annotated[
        list[RecipientId | RecipientInput],
        Meta(
            min_length=1,
            max_length=MOST_RECIPIENTS,
            description="Ids, or objects that register or update their recipient. Doubles count once, and `1` and "
            '`"1"` are one.',
        ),
    ]
    title: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=NO_NUL)] | UnsetType,
        Meta(description="Needed, unless there is a template."),
    ] = UNSET
    message: Annotated[
        Annotated[str, Meta(min_length=1, max_length=16_384, extra_json_schema=NO_NUL)] | UnsetType,
        Meta(description="At most 16 KiB of UTF-8. Needed, unless there is a template."),
    ] = UNSET
    template: Annotated[
        TemplateName | None, Meta(description="What makes title and message, which must then not be given.")
    ] = None
    template_version: Annotated[TemplateVersion | None, Meta(description="Null: the newest.")] = None
    variables: Variables = msgspec.field(default_factory=lambda: Raw(b"{}"))
    scheduled_at: Annotated[FutureTime | None, Meta(description="When to send; null: now.")] = None
    type: Annotated[Type, Meta(description="Kind, as you name it.")] = "system"
    priority: Annotated[
        Literal["low", "normal", "high", "urgent"], Meta(description="What is due together leaves in this order.")
    ] = "normal"
    data: Annotated[
        Raw,
        Meta(
            description=f"Your own JSON object: at most {MOST_DATA_BYTES} bytes without spaces, nested at most "
            f"{MOST_DEPTH} deep.",
            extra_json_schema={"type": "object", "default": {}},
        ),
    ] = msgspec.field(default_factory=lambda: Raw(b"{}"))
    channels: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=32, extra_json_schema={"format": "channel"})]],
        Meta(min_length=1, max_length=16, description="Ways to reach the recipients; `inbox` is always there."),
    ] = msgspec.field(default_factory=lambda: ["inbox"])
    expires_at: Annotated[
        Annotated[
            datetime,
            Meta(tz=True, extra_json_schema={"format": "date-time", "x-format": "expiry"}),
        ]
        | None,
        Meta(description="What is not sent by then is cancelled instead. After scheduled_at."),
    ] = None
    reference: Annotated[Reference | None, Meta(description="Your own key, as invoice:42, to list and cancel by.")] = (
        None
    )
    if_past: Annotated[Literal["reject", "send"], Meta(description="`send` turns a past scheduled_at into now.")] = (
        "reject"
    )
    unknown_recipients: Annotated[
        Literal["skip", "create", "reject"] | None,
        Meta(
            description="Ids that are not registered: left out and listed in `skipped`, registered, or the whole "
            "request refused. null: the server's setting."
        ),
    ] = None
    retry: Annotated[
        RetryPolicy | None, Meta(description="How failures of its deliveries are dealt with; stronger than the type's.")
    ] = None
    spread_over: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_SPREAD)] | None,
        Meta(description="Minutes over which its notifications are spread, evenly, from scheduled_at on."),
    ] = None


class RescheduleRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where to move a pending notification."""

    scheduled_at: FutureTime


class RetryRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """When to try again."""

    delay_minutes: Annotated[float, Meta(ge=0, le=MOST_MINUTES, description="Minutes from now.")] = 10


class RecipientsRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Many recipients at once. Of doubles the last counts."""

    recipients: Annotated[list[RecipientInput], Meta(min_length=1, max_length=MOST_UPSERTS)]


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How long a token should hold."""

    ttl: Annotated[
        Annotated[int, Meta(ge=1, le=31_536_000)] | None,
        Meta(description="Seconds; null: the server's setting."),
    ] = None


class ReadRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What was read: these, or all up to a place, or both."""

    ids: Annotated[
        Annotated[list[Annotated[int, Meta(ge=1, le=MOST_ID)]], Meta(max_length=MOST_READ)] | UnsetType,
        Meta(description="Ids of notifications."),
    ] = UNSET
    up_to_seq: Annotated[
        Annotated[int, Meta(ge=0, le=MOST_ID)] | UnsetType,
        Meta(description="All that is stored up to this place in the stream, and nothing that comes later."),
    ] = UNSET


Cursor = Annotated[str, Meta(max_length=200, extra_json_schema={"format": "cursor"})]
Limit = Annotated[int, Meta(ge=1, le=MOST_PER_PAGE, description="Most items of the page.")]


class ListQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which notifications to list."""

    status: Annotated[Status | UnsetType, Meta(description="Only those with this status.")] = UNSET
    recipient: Annotated[ID_TEXT | UnsetType, Meta(description="Only this recipient's.")] = UNSET
    type: Annotated[Type | UnsetType, Meta(description="Only those of this type.")] = UNSET
    reference: Annotated[Reference | UnsetType, Meta(description="Only those with this reference.")] = UNSET
    due_before: Annotated[
        Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | UnsetType,
        Meta(description="Only those due before this time (RFC 3339, with an offset)."),
    ] = UNSET
    cursor: Annotated[
        Cursor | UnsetType,
        Meta(description="`next_cursor` of the page before. Opaque, and only for the same filters."),
    ] = UNSET
    limit: Limit = 50


class ReferenceQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What to cancel."""

    reference: Reference


class InboxQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which part of a stream to read."""

    recipient: Annotated[
        ID_TEXT | UnsetType, Meta(description="Whose inbox. Needed with an API key, needless with a token.")
    ] = UNSET
    after: Annotated[int, Meta(ge=0, le=MOST_ID, description="Only what lies behind this seq.")] = 0
    limit: Limit = 100


class RecipientQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Whose inbox it is."""

    recipient: Annotated[
        ID_TEXT | UnsetType, Meta(description="Whose inbox. Needed with an API key, needless with a token.")
    ] = UNSET
