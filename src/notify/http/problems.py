"""Every refusal as RFC 9457 `application/problem+json`, mapped in this one place.

`type` is `urn:notify:problem:<slug>` and stable: clients branch on it, people read `detail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import psycopg
import psycopg_pool
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, Meta, UnsetType

from notify.errors import (
    Busy,
    IdempotencyInFlight,
    NotifyError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    WrongStatus,
)
from notify.model import DeliveryStatus, Status

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:notify:problem:"
_FIELD_CHARS = 200
# What follows there opens something by itself, and goes into no log.
_UNLOGGED = "/unsubscribe/"

log = structlog.get_logger("notify.http")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Meta(description="Stable name of the kind of problem, urn:notify:problem:SLUG.")]
    title: Annotated[str, Meta(description="The kind of problem, for people.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What is wrong with this request, for people.")]
    field: Annotated[
        str | UnsetType, Meta(description="The input at fault, as `recipients[2].id` or `Idempotency-Key`.")
    ] = UNSET
    notification_status: Annotated[Status | UnsetType, Meta(description="With 409: where the notification stands.")] = (
        UNSET
    )
    delivery_status: Annotated[DeliveryStatus | UnsetType, Meta(description="With 409: where the delivery stands.")] = (
        UNSET
    )
    checks: Annotated[
        dict[str, str] | UnsetType, Meta(description="With 503 of /health/ready: what is up and what is not.")
    ] = UNSET


class UnsupportedMediaType(NotifyError):
    """The body is not declared as JSON."""

    status = 415
    slug = "unsupported-media-type"
    title = "Unsupported media type"


def problem_of(error: NotifyError) -> Problem:
    """The problem that an error stands for."""
    field = error.field
    return Problem(
        type=TYPE + error.slug,
        title=error.title,
        status=error.status,
        detail=str(error),
        field=UNSET if field is None else field[:_FIELD_CHARS],
        notification_status=_told(error, "notification_status", Status),
        delivery_status=_told(error, "delivery_status", DeliveryStatus),
    )


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """The problem as an answer."""
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def headers_of(error: NotifyError) -> dict[str, str]:
    """What else the answer to an error has to say: how to authenticate, when to try again."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="notify"'}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, IdempotencyInFlight) or error.status == 503:
        return {"Retry-After": "1"}
    return {}


def on_notify_error(request: Request[Any, Any, Any], error: NotifyError) -> Response[bytes]:
    """Everything that notify refuses on purpose; what nobody meant to happen is logged and stays untold."""
    if type(error).status == 500:
        return on_crash(request, error)
    return respond(problem_of(error), headers_of(error))


def on_database_error(request: Request[Any, Any, Any], error: psycopg.Error) -> Response[bytes]:
    """The database is away, or too many wait for it: worth repeating."""
    if isinstance(error, psycopg_pool.TooManyRequests):
        busy = Busy("too many requests wait for the database; repeat the request")
        return respond(problem_of(busy), headers_of(busy))
    log.warning("database_unavailable", path=_path(request), error=type(error).__name__)
    away = Unavailable("the database is out of reach; repeat the request with the same Idempotency-Key")
    return respond(problem_of(away), headers_of(away))


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework refuses: unknown paths and methods."""
    if error.status_code >= 500 and error.detail != "client disconnected prematurely":
        return on_crash(request, error)
    slug, title, detail = _FRAMEWORK.get(error.status_code, _BAD_REQUEST)
    problem = Problem(type=TYPE + slug, title=title, status=error.status_code, detail=detail)
    return respond(problem, error.headers)


def no_such_path() -> Problem:
    """What answers where nothing is served."""
    slug, title, detail = _FRAMEWORK[404]
    return Problem(type=TYPE + slug, title=title, status=404, detail=detail)


def no_http() -> Problem:
    """What answers where no request can be made out."""
    slug, title, detail = _BAD_REQUEST
    return Problem(type=TYPE + slug, title=title, status=400, detail=detail)


def on_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A defect: logged with its trace, and nothing of it told."""
    log.error("request_failed", method=request.scope["method"], path=_path(request), exc_info=error)
    return respond(
        Problem(
            type=TYPE + NotifyError.slug,
            title=NotifyError.title,
            status=500,
            detail="something went wrong here; the log says what",
        )
    )


def _told(error: NotifyError, name: str, kind: Any) -> Any:
    """The status that a WrongStatus tells under this name."""
    status = getattr(error, name, None) if isinstance(error, WrongStatus) else None
    return UNSET if status is None else msgspec.convert(status, kind)


def _path(request: Request[Any, Any, Any]) -> str:
    """The path as it may be logged."""
    path: str = request.scope["path"]
    return f"{_UNLOGGED}…" if path.startswith(_UNLOGGED) else path


_BAD_REQUEST = ("bad-request", "Bad request", "the request cannot be understood")
_FRAMEWORK = {
    404: ("not-found", "Not found", "there is no such path"),
    405: ("method-not-allowed", "Method not allowed", "this path does not know the method; see Allow"),
    426: ("upgrade-required", "Upgrade required", "this path speaks websocket"),
}

HANDLERS: dict[type[Exception] | int, Any] = {
    NotifyError: on_notify_error,
    psycopg.OperationalError: on_database_error,
    psycopg.InterfaceError: on_database_error,
    # The session ended while this process stood still; psycopg counts it among the server's own errors.
    psycopg.errors.IdleInTransactionSessionTimeout: on_database_error,
    HTTPException: on_http_exception,
    Exception: on_crash,
}
