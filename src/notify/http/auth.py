"""Who is let in: a gate before every route, which reads what the route declares.

Credentials come in the `Authorization` header only; one in the URL would end up in logs.
"""

from __future__ import annotations

from typing import cast

from litestar.types import Scope

from notify.access import Principal
from notify.access import Scope as KeyScope
from notify.errors import Forbidden, InvalidValue, NotFound, TooManyRequests, Unauthenticated
from notify.http.routes import Access, Doc, HttpRequest
from notify.http.services import services
from notify.inputs import as_recipient
from notify.places import address_of

_SCHEMES = frozenset({"bearer", "token"})
# What a key needs where a recipient's token would do.
_INBOX: dict[Access, KeyScope] = {"inbox": "read", "inbox-write": "schedule"}

_LIMIT = "notify.limit"


async def gate(request: HttpRequest) -> None:
    """Let a request in, or raise. A route that does not declare its access is closed.

    It runs before every handler of a path; not as the framework's guard, which would have the handler copied for each
    request. The gateway admits its websockets itself, as their credential may come in the first message, and refuses
    all else on its path. OPTIONS tells nothing but the methods of a path.
    """
    if request.method == "OPTIONS":
        return
    doc = request.route_handler.opt.get("doc")
    if not isinstance(doc, Doc):
        raise Forbidden("this path is closed")
    access = doc.access
    if access == "read" and doc.path == "/metrics" and services(request).settings.metrics_public:
        access = "public"
    if access == "public":
        return
    principal = await services(request).gatekeeper.admit(_credential(request), address_of(request.scope))
    count_request(request, principal.name)
    _check(principal, access)
    request.scope["user"] = principal


def limit_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What the answer to this request says of its caller's limit; nothing where there is none."""
    headers: list[tuple[bytes, bytes]] = scope["state"].get(_LIMIT, [])
    return headers


def principal_of(request: HttpRequest) -> Principal:
    """Who is calling; the gate has let them in."""
    principal = request.scope["user"]
    assert isinstance(principal, Principal)
    return principal


def inbox_owner(principal: Principal, asked: str | None) -> str:
    """Whose inbox a request means. A token opens its own only; any other is to it as if it were not there."""
    wanted = None if asked is None else as_recipient(asked, "recipient")
    if principal.recipient is None:
        if wanted is None:
            raise InvalidValue("recipient must be given with an API key", field="recipient")
        return wanted
    if wanted is not None and wanted != principal.recipient:
        raise NotFound("there is no such recipient")
    return principal.recipient


def count_request(request: HttpRequest, caller: str) -> None:
    """Count a request for its caller. Raises TooManyRequests. Whatever else is wrong with a request, it counts."""
    verdict = services(request).rate_limit.take(caller)
    if verdict is None:
        return
    request.scope["state"][_LIMIT] = verdict.headers()
    if verdict.retry_after:
        raise TooManyRequests(
            f"more than {verdict.limit} requests a minute; the next one may come in {verdict.retry_after} s",
            retry_after=verdict.retry_after,
        )


def _check(principal: Principal, access: Access) -> None:
    assert access != "public"
    scope = _INBOX.get(access)
    if scope is None:
        principal.require(cast(KeyScope, access))
    elif principal.recipient is None:
        principal.require(scope)


def _credential(request: HttpRequest) -> str:
    headers = request.headers.getall("authorization", [])
    if not headers:
        raise Unauthenticated("this needs the header Authorization: Bearer KEY")
    scheme, _, credential = headers[0].strip().partition(" ")
    if len(headers) > 1 or scheme.lower() not in _SCHEMES or not credential.strip():
        raise Unauthenticated("the header Authorization should read: Bearer KEY")
    return credential.strip()
