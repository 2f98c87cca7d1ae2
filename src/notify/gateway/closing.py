"""How connections end: the close codes, and what is said with them."""

from __future__ import annotations

import msgspec

from notify.errors import NotFound, NotifyError, Unavailable

BAD_REQUEST = 4400
NOT_AUTHENTICATED = 4401
NOT_ALLOWED = 4403
NOT_FOUND = 4404
TOO_SLOW = 4408
TOO_MANY = 4429
TOO_BIG = 1009
INTERNAL = 1011
RESTARTING = 1012
TRY_LATER = 1013

_BY_STATUS = {
    400: BAD_REQUEST,
    401: NOT_AUTHENTICATED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    429: TOO_MANY,
    503: TRY_LATER,
}
_REASON_MAX_BYTES = 123


class Closing(msgspec.Struct, frozen=True):
    """A close code, and the error frame before it (`code_name` None: there is none)."""

    code: int
    code_name: str | None
    detail: str

    @property
    def reason(self) -> str:
        """The detail, as far as it fits into a close frame."""
        return self.detail.encode()[:_REASON_MAX_BYTES].decode(errors="ignore")


def because(error: NotifyError) -> Closing:
    """The closing that an error stands for. What is not the caller's fault is not told in detail."""
    code = _BY_STATUS.get(error.status, INTERNAL)
    return Closing(code, error.slug, error.title if code in (INTERNAL, TRY_LATER) else str(error))


SLOW = Closing(TOO_SLOW, "too-slow", "the connection takes frames too slowly; resume from your cursor")
RESTART = Closing(RESTARTING, None, "the server restarts; connect again")
FAILED = Closing(INTERNAL, "internal", "internal error; connect again")
MESSAGE_TOO_BIG = Closing(TOO_BIG, "limit-exceeded", "a message may have at most 65536 bytes")
TOO_MANY_FAULTS = Closing(BAD_REQUEST, "invalid-value", "too many messages that cannot be understood")
UNAVAILABLE = because(Unavailable())
UNKNOWN_RECIPIENT = because(NotFound("there is no such recipient"))
