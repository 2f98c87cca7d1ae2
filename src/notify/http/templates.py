"""Templates: stored in versions, looked at, deleted, and tried out without sending anything."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta
from psycopg import AsyncConnection

from notify import cursor, templates
from notify.errors import Busy, InvalidValue, NotFound
from notify.http.bodies import offload, path_text, read_body, read_query
from notify.http.database import connection_for
from notify.http.idempotency import once
from notify.http.objects import json_object
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.template_shapes import (
    Preview,
    PreviewRequest,
    StoredTemplate,
    TemplateFields,
    TemplatePage,
    TemplateQuery,
    TemplatesQuery,
    TemplateSummary,
)
from notify.postgres import queries
from notify.templates import Template, Texts

_PATH = "/api/templates/{name:str}"
_TAG = "templates"


class Version(msgspec.Struct, frozen=True):
    """One version of a template, as it is stored."""

    name: str
    version: int
    default_locale: str
    locales: dict[str, Texts]
    created_at: datetime

    def template(self) -> Template:
        """What there is to be rendered."""
        return Template(name=self.name, default_locale=self.default_locale, locales=self.locales)


class Put(msgspec.Struct, frozen=True):
    """Which version a template has now, and whether it is a new one."""

    version: int
    created: bool


class _ByName(msgspec.Struct, array_like=True, tag="name", forbid_unknown_fields=True, frozen=True):
    """The cursor of a list by name: its last one."""

    name: Annotated[str, Meta(max_length=64)]


@route(
    "PUT",
    _PATH,
    access="admin",
    tag=_TAG,
    body=TemplateFields,
    most_bytes=None,
    answers={200: StoredTemplate, 201: StoredTemplate},
    errors=(400,),
)
async def put_template_version(request: HttpRequest) -> Answer:
    """Store a template, or the next version of one.

    201: this made a version. 200: it is what the newest version says already. The newest hundred versions are kept.
    What can never be rendered is refused: bad syntax, unknown filters, and what is forbidden in templates.
    """
    name = _name(request)
    template = _template(name, await read_body(request, TemplateFields))
    await offload(True, templates.check, template)
    async with connection_for(request) as connection, connection.transaction():
        put = await put_template(connection, template)
        found = await find_template(connection, name, put.version)
    if found is None:
        raise Busy("the template was deleted meanwhile; repeat the request")
    return answer(201 if put.created else 200, await _shown(found))


@route("GET", _PATH, access="read", tag=_TAG, query=TemplateQuery, answers={200: StoredTemplate}, errors=(400, 404))
async def show_template(request: HttpRequest) -> Answer:
    """Get the newest version of a template, or an earlier one."""
    name, version = _name(request), read_query(request, TemplateQuery).version
    found = await load(request, name, None if version is UNSET else version)
    if found is None:
        raise _absent()
    return answer(200, await _shown(found))


@route(
    "GET",
    "/api/templates",
    access="read",
    tag=_TAG,
    query=TemplatesQuery,
    answers={200: TemplatePage},
    errors=(400,),
)
async def list_all_templates(request: HttpRequest) -> Answer:
    """List the newest version of each template, by name."""
    query = read_query(request, TemplatesQuery)
    after = None if query.cursor is UNSET else cursor.decode(query.cursor, _ByName).name
    async with connection_for(request) as connection:
        rows = await list_templates(connection, after, query.limit + 1)
    items = rows[: query.limit]
    more = len(rows) > query.limit
    return answer(200, TemplatePage(items, cursor.encode(_ByName(items[-1].name)) if more else None))


@route("DELETE", _PATH, access="admin", tag=_TAG, answers={204: None}, errors=(400, 404, 409), idempotent=True)
async def delete_all_versions(request: HttpRequest) -> Answer:
    """Delete a template with all its versions. What was scheduled with it is sent all the same."""
    name = _name(request)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        if not await delete_template(connection, name):
            raise _absent()
        return answer(204)

    return await once(request, work)


@route(
    "POST",
    _PATH + "/preview",
    access="read",
    tag=_TAG,
    body=PreviewRequest,
    body_required=False,
    most_bytes=None,
    answers={200: Preview},
    errors=(400, 404),
)
async def preview_template(request: HttpRequest) -> Answer:
    """See what a recipient would get; nothing is stored.

    Every locale is rendered, as when scheduling, and what would be refused there is refused here. With `template` it
    is that one which is tried out, whether there is one of this name or not.
    """
    name = _name(request)
    body = await read_body(request, PreviewRequest, required=False)
    variables = json_object("variables", body.variables)
    wanted = None if body.locale is None else templates.check_locale(body.locale, "locale")
    if body.template is None:
        found = await load(request, name, body.version)
        if found is None:
            raise _absent()
        contents = await offload(True, templates.render, found.template(), variables)
    elif body.version is not None:
        raise InvalidValue("version must not be given with a template", field="version")
    else:
        contents = await offload(True, _tried_out, _template("", body.template), variables)
    locale = templates.locale_for(contents, wanted)
    texts = contents.locales[locale]
    return answer(200, Preview(locale, texts.title, texts.message, texts.html))


async def load(request: HttpRequest, name: str, version: int | None) -> Version | None:
    """A version of a template, None: the newest. None where there is none."""
    async with connection_for(request) as connection:
        return await find_template(connection, name, version)


async def put_template(connection: AsyncConnection[Any], template: Template) -> Put:
    """Store a template, which has been checked."""
    locales = msgspec.json.encode(template.locales).decode()
    return await queries.one(
        connection,
        "put_template",
        Put,
        template=template.name,
        default_locale=template.default_locale,
        locales=locales,
    )


async def find_template(connection: AsyncConnection[Any], name: str, version: int | None) -> Version | None:
    """A version of a template; None: the newest."""
    return await queries.maybe(connection, "find_template", Version, template=name, version=version)


async def list_templates(connection: AsyncConnection[Any], after: str | None, limit: int) -> list[TemplateSummary]:
    """The newest version of each template, by name."""
    return await queries.many(connection, "list_templates", TemplateSummary, after=after, limit=limit)


async def delete_template(connection: AsyncConnection[Any], name: str) -> bool:
    """Delete all versions; whether there was any."""
    return await queries.one(connection, "delete_template", bool, template=name)


def _template(name: str, fields: TemplateFields) -> Template:
    locales = {tag: Texts(one.title, one.message, one.html) for tag, one in fields.locales.items()}
    return Template(name=name, default_locale=fields.default_locale, locales=locales)


def _tried_out(template: Template, variables: dict[str, Any]) -> templates.Contents:
    """One that is not stored, checked and rendered: its faults are in the field `template`."""
    try:
        templates.check(template)
        return templates.render(template, variables)
    except InvalidValue as error:
        if (error.field or "").startswith("variables"):
            raise
        raise type(error)(str(error), field=f"template.{error.field}") from error


async def _shown(found: Version) -> StoredTemplate:
    return StoredTemplate(
        found.name,
        found.version,
        found.default_locale,
        found.locales,
        await offload(True, _variables, found.template()),
        found.created_at,
    )


def _variables(template: Template) -> list[str] | None:
    """Of one that SQL stored unchecked there may be no telling."""
    try:
        return sorted(templates.variables_of(template))
    except InvalidValue:
        return None


def _name(request: HttpRequest) -> str:
    return templates.check_name(path_text(request, "name"))


def _absent() -> NotFound:
    return NotFound("there is no such template")
