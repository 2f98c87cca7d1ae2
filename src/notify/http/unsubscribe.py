"""Links to unsubscribe: followed by people, and posted to by mail programs at one click (RFC 8058).

Programs that scan mail follow its links, so GET changes nothing: it shows a page with a button. A link holds by its
signature alone, and for ever; it opens nothing but the stopping of what its recipient gets.
"""

from __future__ import annotations

from html import escape
from typing import Any

from psycopg import AsyncConnection

from notify.channels.unsubscribe import Unsubscribe, read_token
from notify.http.auth import count_request
from notify.http.routes import Answer, HttpRequest, route
from notify.http.services import services
from notify.postgres import queries

_PATH = "/unsubscribe/{token:str}"
_TAG = "unsubscribe"
_PAGE_TYPE = "text/html; charset=utf-8"
_TEXT_TYPE = "text/plain; charset=utf-8"
# The page is its own and nothing else: no script, no picture, no frame, and its form goes back to where it came from.
_HEADERS = {"Content-Security-Policy": "default-src 'none'; form-action 'self'; style-src 'unsafe-inline'"}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Unsubscribe</title>
<style>body {{ font: 1.1em sans-serif; max-width: 30em; margin: 4em auto }} button {{ font: inherit }}</style>
<h1>Unsubscribe</h1>
<p>No more messages of the kind “{type}” by {channel}?</p>
<form method="post"><button>Unsubscribe</button></form>
</html>
"""


@route("GET", _PATH, access="public", tag=_TAG, answers={200: str}, errors=(404, 503), media_type=_PAGE_TYPE)
async def show_unsubscribe(request: HttpRequest) -> Answer:
    """Show a page with a button that unsubscribes. By itself it changes nothing."""
    asked = await _asked(request)
    page = _PAGE.format(type=escape(asked.type), channel=escape(asked.channel))
    return Answer(200, page.encode(), _PAGE_TYPE, _HEADERS)


@route("POST", _PATH, access="public", tag=_TAG, answers={200: str}, errors=(404, 429, 503), media_type=_TEXT_TYPE)
async def unsubscribe(request: HttpRequest) -> Answer:
    """Unsubscribe: the recipient of the link gets no more of its type by its channel.

    Any body will do, as the `List-Unsubscribe=One-Click` of mail programs. Doing it again changes nothing.
    """
    asked = await _asked(request)
    caller = f"recipient:{asked.recipient}"
    count_request(request, caller)
    async with services(request).shares.connection(caller) as connection:
        await store_unsubscribe(connection, asked)
    text = f"You will get no more messages of the kind “{asked.type}” by {asked.channel}.\n"
    return Answer(200, text.encode(), _TEXT_TYPE)


async def store_unsubscribe(connection: AsyncConnection[Any], asked: Unsubscribe) -> bool:
    """Add it to the recipient's preferences; whether there still is such a recipient."""
    return await queries.one(
        connection, "unsubscribe", bool, recipient=asked.recipient, channel=asked.channel, type=asked.type
    )


async def _asked(request: HttpRequest) -> Unsubscribe:
    """What the link asks for. Raises NotFound where its signature does not hold."""
    key = await services(request).gatekeeper.unsubscribe_key()
    return read_token(key, request.path_params["token"])
