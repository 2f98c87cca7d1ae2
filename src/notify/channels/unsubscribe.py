"""Links to unsubscribe: a token tells who no longer wants what by which channel, and only this service makes one.

It never ends, as a mail may be read years later, and all that it opens is the stopping of mail. It is signed with a key
that the database has made for it, so that links outlive a change of the key of recipients' tokens.
"""

from __future__ import annotations

import jwt
import msgspec

from notify.errors import NotFound

_ALGORITHM = "HS256"
_AUDIENCE = "notify-unsubscribe"


class Unsubscribe(msgspec.Struct, frozen=True):
    """What a link asks for: no more of this type to this recipient by this channel."""

    recipient: str = msgspec.field(name="sub")
    channel: str
    type: str


def new_token(key: str, recipient: str, channel: str, type: str) -> str:
    """The token for a link, in letters, digits, dots, hyphens and underscores; the same for the same values."""
    claims = {"sub": recipient, "aud": _AUDIENCE, "channel": channel, "type": type}
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def read_token(key: str, token: str) -> Unsubscribe:
    """What the link of a token asks for. Raises NotFound if the token does not hold here."""
    try:
        claims = jwt.decode(token, key, algorithms=[_ALGORITHM], audience=_AUDIENCE)
        return msgspec.convert(claims, Unsubscribe)
    except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError) as error:
        raise NotFound("this link to unsubscribe does not hold") from error


def url_of(public_url: str, token: str) -> str:
    """The link, below the address that recipients reach this service by."""
    return f"{public_url.rstrip('/')}/unsubscribe/{token}"
