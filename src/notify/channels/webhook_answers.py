"""What an endpoint's answer means, or what kept it from answering, as an outcome with its code.

Pure. A detail never has more of a URL than its scheme and host, also where the endpoint repeats what it was called
with: the path and the query of a webhook are often its password.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from yarl import URL

from notify.channels.guard import Blocked
from notify.channels.protocol import Outcome, final, retry, sent

MOST_RETRY_AFTER = 86_400.0
"""Seconds: no endpoint is left alone for longer than a day because it asked for it."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# What is shorter may be a word of the answer's own, and is no secret.
_LEAST_HIDDEN = 8


def place(url: URL) -> str:
    """What may be shown of a URL."""
    return f"{url.scheme}://{url.host_subcomponent}"


def outcome_of(status: int, reason: str, headers: Mapping[str, str], body: bytes, url: URL) -> Outcome:
    """The outcome of an answer, with the beginning of its body as detail."""
    text = _hide(_CONTROL.sub("\ufffd", body.decode(errors="replace")).strip(), url)
    if 200 <= status < 300:
        return sent(text)
    code = f"http-{status}"
    shown = _hide(_CONTROL.sub("", reason or _phrase(status)), url)
    detail = f"{status} {shown}".strip() + (f": {text}" if text else "")
    if 300 <= status < 400:
        detail = f"{place(url)} redirects, which is not followed: its new URL has to be registered"
    if status == HTTPStatus.GONE:
        return final(code, detail, disable=True)
    return retry(code, detail, retry_after=retry_after(headers, datetime.now(UTC)))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to leave the endpoint alone, 0 to MOST_RETRY_AFTER, if it says so: as seconds, or as an HTTP date.

    A date is taken from the answer's own Date, so that neither clock has to be right.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MOST_RETRY_AFTER)
    until = _date(text)
    if until is None:
        return None
    start = _date(headers.get("Date", "")) or now
    return min(max((until - start).total_seconds(), 0.0), MOST_RETRY_AFTER)


def outcome_of_failure(error: Exception, url: URL) -> Outcome:
    """The outcome of a call that brought no answer. Raises what is no failure of a call."""
    shown = place(url)
    cause = _cause(error)
    match error:
        case Blocked():
            allow = "NOTIFY_OUTSIDE_ALLOW names the networks that may be reached all the same"
            return final("blocked", f"{shown} leads to an address that must not be reached ({error.kind}); {allow}")
        case aiohttp.InvalidURL():
            return final("bad-address", f"{shown} has no host that can be called")
        case aiohttp.ClientConnectorDNSError():
            return retry("dns", f"the name of {shown} cannot be looked up: {_words(cause)}", unreachable=True)
        # A machine with a wrong clock, or without its authorities, trusts nobody: so that counts as not reached, too.
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return retry("tls", f"no secure connection to {shown}: {_words(cause)}", unreachable=True)
        case aiohttp.ClientResponseError():
            return retry("bad-response", f"{shown} answered what is not HTTP")
        case _ if isinstance(cause, TimeoutError):
            return retry("timeout", f"{shown} did not answer in time", unreachable=True)
        case aiohttp.ClientConnectorError():
            return retry("connect", f"no connection to {shown}: {_words(cause)}", unreachable=True)
        case aiohttp.ClientError() | OSError():
            # Their texts may have the whole URL.
            return retry("connect", f"{shown} broke the connection off before it answered", unreachable=True)
        case _:
            raise error


def _cause(error: Exception) -> Exception:
    """What the system said of a connection that was not made."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error


def _words(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _hide(text: str, url: URL) -> str:
    """Without the parts of the URL that may be secret."""
    if not text:
        return text
    if url.raw_query_string:
        for query in (url.raw_query_string, url.query_string):
            text = text.replace(f"?{query}", "?…")
    for value in (url.raw_path, url.path, *url.query.values(), *url.raw_parts, *url.parts):
        if len(value) >= _LEAST_HIDDEN:
            text = text.replace(value, "…")
    return text
