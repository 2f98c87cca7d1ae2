"""Requests that may be repeated: the first answer under an `Idempotency-Key` is the answer.

The key, the work and its answer commit in one transaction, so an answer that got lost on the wire is found again
and never a second outcome. Domain refusals (404, 409) are answers and kept; input that was refused is not, as
it changed nothing and may be mended under the same key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from psycopg import AsyncConnection

from notify.errors import InvalidValue, NotFound, WrongStatus
from notify.http import problems
from notify.http.auth import principal_of
from notify.http.bodies import LARGE_BYTES, offload, read_bytes
from notify.http.claims import HEADER, MOST_CHARS, REPLAYED, Claim, idempotency_begin, idempotency_finish
from notify.http.database import connection_for
from notify.http.routes import Answer, HttpRequest

# Integers are exact of themselves.
_EXACT = msgspec.json.Decoder(float_hook=lambda digits: msgspec.Raw(digits.encode()))
_KEY = re.compile(r"[!-~]{1,255}")

Work = Callable[[AsyncConnection[Any]], Awaitable[Answer]]


async def once(request: HttpRequest, work: Work) -> Answer:
    """Do the work and give its answer, or the first answer if the request's key has one.

    Without a key the work runs on an autocommit connection. Raises IdempotencyMismatch, IdempotencyInFlight, and
    what the work raises.
    """
    claim = await claim_of(request)
    async with connection_for(request) as connection:
        if claim is None:
            return await work(connection)
        async with connection.transaction():
            return await _once(connection, claim, work)


async def claim_of(request: HttpRequest) -> Claim | None:
    """What the request's key claims; None without one. Raises InvalidValue for what can be no key."""
    key = _key(request)
    return None if key is None else Claim(principal_of(request).name, key, await _hash(request))


async def _once(connection: AsyncConnection[Any], claim: Claim, work: Work) -> Answer:
    kept = await idempotency_begin(connection, claim)
    if kept is not None:
        return Answer(kept.status, kept.body.encode(), kept.media_type, {REPLAYED: "true"})
    answer = await _attempt(connection, work)
    await idempotency_finish(connection, [(claim, answer)])
    return answer


async def _attempt(connection: AsyncConnection[Any], work: Work) -> Answer:
    """The work's answer; a refusal undoes what the work wrote, and no more."""
    try:
        async with connection.transaction():
            return await work(connection)
    except (NotFound, WrongStatus) as error:
        body = msgspec.json.encode(problems.problem_of(error))
        return Answer(error.status, body, problems.MEDIA_TYPE)


def _key(request: HttpRequest) -> str | None:
    keys = request.headers.getall(HEADER.lower(), [])
    if not keys:
        return None
    key = keys[0].strip(" \t")
    if len(keys) > 1 or not _KEY.fullmatch(key):
        raise InvalidValue(
            f"{HEADER} must be one text of 1 to {MOST_CHARS} ASCII characters without spaces", field=HEADER
        )
    return key


async def _hash(request: HttpRequest) -> bytes:
    """What makes two requests the same: method, path, query and body, each in one form."""
    query = sorted(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
    parts = (
        request.scope["method"].encode(),
        request.scope["path"].encode(),
        urlencode(query).encode(),
        await read_bytes(request),
    )
    return await offload(len(parts[-1]) > LARGE_BYTES, _digest, *parts)


def _digest(method: bytes, path: bytes, query: bytes, body: bytes) -> bytes:
    return hashlib.sha256(b"\x00".join((method, path, query, _canonical(body)))).digest()


def _canonical(body: bytes) -> bytes:
    """JSON with sorted keys and no spaces; anything else as it is.

    Numbers stay as they are written: `data` is kept exactly, so two that are one to a float are two requests.
    """
    try:
        return msgspec.json.encode(_EXACT.decode(body), order="sorted")
    except (ValueError, RecursionError):
        return body
