"""What a schedule request says: its own title and message, or what a template makes of its variables."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw

from notify import templates
from notify.errors import InvalidValue
from notify.http.bodies import offload
from notify.http.objects import json_object
from notify.http.routes import HttpRequest
from notify.http.shapes import ScheduleRequest
from notify.http.templates import load
from notify.templates import Contents

_NO_VARIABLES = Raw(b"{}")


class Content(msgspec.Struct, frozen=True):
    """The texts of a batch: its own and, where a template made them, those of every locale."""

    title: str
    message: str
    contents: Contents | None = None


async def content_of(request: HttpRequest, body: ScheduleRequest) -> Content | InvalidValue:
    """The texts that a request asks for. Raises InvalidValue for a request that can never be good.

    What depends on the template as it is stored now is returned, to be raised by who knows that this is no repetition
    of a request that was answered already: its first answer holds, whatever the template has become.
    """
    if body.template is None:
        return _given(body)
    for field, given in (("title", body.title), ("message", body.message)):
        if given is not UNSET:
            raise InvalidValue(f"{field} must not be given with a template, which says it", field=field)
    name = templates.check_name(body.template, "template")
    variables = json_object("variables", body.variables)
    try:
        return await _rendered(request, name, body.template_version, variables)
    except InvalidValue as error:
        return error


def settled(content: Content | InvalidValue) -> Content:
    """The texts. Raises what is wrong with the template."""
    if isinstance(content, InvalidValue):
        raise content
    return content


def _given(body: ScheduleRequest) -> Content:
    if body.title is UNSET:
        raise InvalidValue("title must be given", field="title")
    if body.message is UNSET:
        raise InvalidValue("message must be given", field="message")
    if body.template_version is not None:
        raise InvalidValue("template_version is for a template, which is not given", field="template_version")
    if body.variables != _NO_VARIABLES:
        raise InvalidValue("variables are for a template, which is not given", field="variables")
    return Content(body.title, body.message)


async def _rendered(request: HttpRequest, name: str, version: int | None, variables: dict[str, Any]) -> Content:
    found = await load(request, name, version)
    if found is None:
        if version is None:
            raise InvalidValue(f"there is no template {name}", field="template")
        raise InvalidValue(f"there is no version {version} of template {name}", field="template_version")
    try:
        # In a thread, however small: what the loops of a template cost is known only when they have run.
        contents = await offload(True, templates.render, found.template(), variables)
    except InvalidValue as error:
        if (error.field or "").startswith("variables"):
            raise
        raise type(error)(str(error), field="template") from error
    return Content(contents.default.title, contents.default.message, contents)
