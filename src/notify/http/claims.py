"""Idempotency keys as the database has them: who claims one, and the answer that is kept under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from notify.errors import IdempotencyInFlight, IdempotencyMismatch
from notify.http.routes import Answer
from notify.postgres import queries

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MOST_CHARS = 255


class Claim(msgspec.Struct, frozen=True):
    """An idempotency key, whose it is, and the hash of the request."""

    owner: str
    key: str
    hash: bytes


class Kept(msgspec.Struct, frozen=True):
    """A first answer as it was stored; the body as text, so that a replay has the same bytes."""

    status: int
    body: str
    media_type: str


async def idempotency_begin(connection: AsyncConnection[Any], claim: Claim) -> Kept | None:
    """Claim a key until the transaction ends; the answer that it already has."""
    try:
        return await queries.maybe(
            connection, "idempotency_begin", Kept, owner=claim.owner, key=claim.key, hash=claim.hash
        )
    except (IdempotencyInFlight, IdempotencyMismatch) as error:
        error.field = HEADER
        raise


async def idempotency_finish(connection: AsyncConnection[Any], kept: Sequence[tuple[Claim, Answer]]) -> None:
    """Keep the answers of keys that were claimed in this transaction."""
    await queries.run(
        connection,
        "idempotency_finish",
        owners=[claim.owner for claim, _ in kept],
        keys=[claim.key for claim, _ in kept],
        hashes=[claim.hash for claim, _ in kept],
        statuses=[answer.status for _, answer in kept],
        bodies=[answer.body.decode() for _, answer in kept],
        media_types=[answer.media_type for _, answer in kept],
    )
