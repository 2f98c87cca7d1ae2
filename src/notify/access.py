"""Who may do what: API keys of applications, tokens of recipients, and the one that checks them.

A key is `ntf_`, 43 characters for 256 random bits, and a checksum of 6, so that a typo or a scanner needs no
database to tell a key from noise. Only its SHA-256 is stored. A token is a JWT for one recipient; its algorithm is
pinned, and `sub`, `exp` and `aud` are required.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import zlib
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Literal

import jwt
import msgspec
from psycopg import AsyncConnection

from notify.config import Settings
from notify.errors import Forbidden, Unauthenticated
from notify.postgres.pool import Pool
from notify.postgres.queries import maybe, one

Scope = Literal["schedule", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("schedule", "read", "admin")

_KEY_PREFIX = "ntf_"
_RANDOM_CHARS = 43
_CHECKSUM_CHARS = 6
_SHOWN_CHARS = 12
_ALGORITHM = "HS256"
_AUDIENCE = "notify"
# A revoked key is refused after that many seconds at the latest.
_CACHE_SECONDS = 2.0
_CACHE_KEYS = 1000


class Principal(msgspec.Struct, frozen=True):
    """Who is calling: an application by its key, or a recipient by a token."""

    name: str
    """Stable: `key:7`, `key:environment`, `recipient:ada`. Owns idempotency keys and counts against limits."""
    scopes: frozenset[str]
    recipient: str | None = None
    """Set for a token: the only recipient whose inbox and stream it opens."""
    expires_at: datetime | None = None
    """From then on the credential does not hold."""

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the scope is granted; `admin` grants all."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(f"this needs a key with the scope {scope}")


class KeyRow(msgspec.Struct, frozen=True):
    """A live row of notify.api_key."""

    id: int
    scopes: list[Scope]
    expires_at: datetime | None


def new_key() -> str:
    """A fresh API key."""
    body = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return f"{_KEY_PREFIX}{body}{_checksum(body)}"


def shown_prefix(key: str) -> str:
    """The part of a key that may be shown and stored to recognise it by."""
    return key[:_SHOWN_CHARS]


def key_hash(key: str) -> bytes:
    """What is stored of a key: SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def is_well_formed(key: str) -> bool:
    """Whether it has a key's form and its checksum fits."""
    body = key.removeprefix(_KEY_PREFIX)
    if body == key or len(body) != _RANDOM_CHARS + _CHECKSUM_CHARS:
        return False
    return body[_RANDOM_CHARS:] == _checksum(body[:_RANDOM_CHARS])


def _checksum(body: str) -> str:
    crc = zlib.crc32(body.encode("utf-8", "surrogatepass"))
    return base64.urlsafe_b64encode(crc.to_bytes(4)).decode().rstrip("=")


def new_token(token_key: str, recipient: str, ttl: float) -> tuple[str, datetime]:
    """A recipient's token and when it ends, `ttl` seconds from now."""
    issued = int(time.time())
    ends = issued + int(ttl)
    claims = {"sub": recipient, "aud": _AUDIENCE, "iat": issued, "exp": ends}
    return jwt.encode(claims, token_key, algorithm=_ALGORITHM), datetime.fromtimestamp(ends, UTC)


def read_token(token_key: str, token: str) -> Principal:
    """The recipient whose token it is. Raises Unauthenticated, saying why, if it does not hold."""
    try:
        claims = jwt.decode(
            token,
            token_key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "exp", "aud"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthenticated("the token has expired; get a new one") from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise Unauthenticated("the token is not valid here") from error
    subject = claims["sub"]
    ends = datetime.fromtimestamp(claims["exp"], UTC)
    return Principal(f"recipient:{subject}", frozenset(), recipient=subject, expires_at=ends)


async def token_key(settings: Settings, connection: AsyncConnection[Any]) -> str:
    """The key that signs tokens: the setting, or the one that all processes share through the database."""
    if settings.token_secret is not None:
        return settings.token_secret
    return await one(connection, "get_token_key", str)


class Gatekeeper:
    """Turns a credential into a Principal, or refuses it. Keys are looked up at most every two seconds."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._token_key: str | None = None
        self._fixed = key_hash(settings.api_key) if settings.api_key else None
        self._cache: OrderedDict[bytes, tuple[float, Principal | None]] = OrderedDict()

    async def signing_key(self) -> str:
        """The key that signs recipient tokens."""
        if self._token_key is not None:
            return self._token_key
        async with self._pool.connection() as connection:
            found = await token_key(self._settings, connection)
        self._token_key = found
        return found

    async def admit(self, credential: str) -> Principal:
        """The principal of an API key or a recipient token. Raises Unauthenticated if it is neither."""
        hashed = key_hash(credential)
        if self._fixed is not None and hmac.compare_digest(hashed, self._fixed):
            return Principal("key:environment", frozenset(SCOPES))
        if credential.count(".") == 2:
            return read_token(await self.signing_key(), credential)
        if not is_well_formed(credential):
            raise Unauthenticated("this is no API key and no token; keys look like ntf_…")
        principal = await self._look_up(hashed)
        if principal is None or (principal.expires_at and principal.expires_at <= datetime.now(UTC)):
            raise Unauthenticated("the key is unknown, expired or revoked")
        return principal

    async def _look_up(self, hashed: bytes) -> Principal | None:
        cached = self._cache.get(hashed)
        if cached is not None and cached[0] > time.monotonic():
            self._cache.move_to_end(hashed)
            return cached[1]
        async with self._pool.connection() as connection:
            row = await maybe(connection, "find_api_key", KeyRow, hash=hashed)
        found = None if row is None else Principal(f"key:{row.id}", frozenset(row.scopes), None, row.expires_at)
        self._cache[hashed] = (time.monotonic() + _CACHE_SECONDS, found)
        if len(self._cache) > _CACHE_KEYS:
            self._cache.popitem(last=False)
        return found
