"""What can go wrong, as exceptions: everything notify raises is a `NotifyError`.

Each class says what HTTP answers for it (`status`, and the stable `slug` of its problem type). The SQL functions
raise named SQLSTATEs; `from_postgres` is the one place that maps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import psycopg


class NotifyError(Exception):
    """The base of everything that notify raises on purpose. `field` names the input at fault, if one is."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message or self.title)
        self.field = field


class ConfigError(NotifyError, ValueError):
    """A setting is missing or wrong; the message names the variable, its value and what would be right."""


class MigrationError(NotifyError):
    """The schema cannot be brought up to date; the message names the step."""


class EmbeddedError(NotifyError):
    """The embedded server cannot be started or stopped; the message ends with what its log says."""


class RowError(NotifyError):
    """A statement did not return what its caller relies on: not one row, or one that does not fit its type."""


class InvalidValue(NotifyError, ValueError):
    """A value cannot be accepted; nothing was written."""

    status = 400
    slug = "invalid-value"
    title = "Invalid value"


class PastTime(InvalidValue):
    """A time must lie in the future by the database's clock."""

    slug = "time-not-in-future"
    title = "Time not in the future"


class LimitExceeded(InvalidValue):
    """A limit was exceeded; the message names it."""

    slug = "limit-exceeded"
    title = "Limit exceeded"


class UnknownRecipients(InvalidValue):
    """A recipient is not registered, and the request asked to be refused then."""

    slug = "unknown-recipients"
    title = "Unknown recipients"


class BodyTooLarge(NotifyError, ValueError):
    """The request body is larger than the server accepts."""

    status = 413
    slug = "body-too-large"
    title = "Body too large"


class Unauthenticated(NotifyError):
    """No credential, or one that does not hold (any more)."""

    status = 401
    slug = "not-authenticated"
    title = "Not authenticated"


class Forbidden(NotifyError):
    """The credential holds, but does not allow this."""

    status = 403
    slug = "not-allowed"
    title = "Not allowed"


class NotFound(NotifyError, LookupError):
    """There is no such thing, or it is not the caller's to see."""

    status = 404
    slug = "not-found"
    title = "Not found"


class WrongStatus(NotifyError):
    """The status of a notification, or of a delivery, forbids this. One of the two tells which it is."""

    status = 409
    slug = "wrong-status"
    title = "Status forbids this"

    def __init__(
        self, message: str, *, notification_status: str | None = None, delivery_status: str | None = None
    ) -> None:
        super().__init__(message)
        self.notification_status = notification_status
        self.delivery_status = delivery_status


class IdempotencyInFlight(NotifyError):
    """A request with the same idempotency key has not ended yet."""

    status = 409
    slug = "idempotency-key-in-flight"
    title = "Request in flight"


class IdempotencyMismatch(NotifyError, ValueError):
    """The idempotency key was used for another request."""

    status = 422
    slug = "idempotency-key-reused"
    title = "Idempotency key reused"


class RequestTimeout(NotifyError):
    """The request did not come whole in time."""

    status = 408
    slug = "request-timeout"
    title = "Request timeout"


class HeadTooLarge(NotifyError):
    """The head of the request is larger than the server accepts."""

    status = 431
    slug = "head-too-large"
    title = "Head too large"


class TooManyRequests(NotifyError):
    """A bound on requests or connections is reached. `retry_after` seconds from now there may be room again."""

    status = 429
    slug = "too-many-requests"
    title = "Too many requests"

    def __init__(self, message: str = "", *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(NotifyError):
    """Another transaction held what this one needed too long, or deleted it. Nothing was written; worth repeating."""

    status = 503
    slug = "busy"
    title = "Busy"


class Unavailable(NotifyError):
    """The database is out of reach for now. Whether a write happened is unknown; an idempotency key tells."""

    status = 503
    slug = "unavailable"
    title = "Unavailable"


# The named SQLSTATEs of sql/functions/refuse.sql, and those of Postgres that bad input can cause.
_BY_SQLSTATE: dict[str, type[NotifyError]] = {
    "NT001": InvalidValue,
    "NT002": PastTime,
    "NT003": LimitExceeded,
    "NT004": NotFound,
    "NT005": UnknownRecipients,
    "NT006": IdempotencyMismatch,
    "NT007": IdempotencyInFlight,
    "22003": InvalidValue,  # number out of range
    "22008": InvalidValue,  # date out of range
    "22021": InvalidValue,  # NUL, or not UTF-8
    "22P02": InvalidValue,  # malformed JSON
    "22P05": InvalidValue,  # \u0000 in JSON
    "23503": Busy,  # a recipient was deleted between being found and being written for
    "54001": LimitExceeded,  # JSON too deep
    "40001": Busy,
    "40P01": Busy,
    "55P03": Busy,
    "57014": Busy,
}


def from_postgres(error: psycopg.Error) -> NotifyError | None:
    """The notify error that a SQLSTATE stands for, or None where it stands for nothing a caller can mend.

    Of Postgres' own errors the text is not passed on, as it may quote others' values.
    """
    sqlstate = error.sqlstate or ""
    kind = _BY_SQLSTATE.get(sqlstate)
    if kind is None:
        return None
    if sqlstate.startswith("NT"):
        return kind(error.diag.message_primary or "", field=error.diag.column_name or None)
    return kind(_MESSAGES.get(kind, ""))


_MESSAGES: dict[type[NotifyError], str] = {
    InvalidValue: "a value is out of range, or has characters that cannot be stored (NUL, lone surrogates)",
    LimitExceeded: "a JSON value is nested too deeply",
    Busy: "another transaction holds or deletes what this one needs; repeat the request",
}
