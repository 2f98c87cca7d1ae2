"""What calls about templates take and answer, with the words of the documentation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from notify.http.shapes import Limit, Locale, TemplateVersion, Variables
from notify.templates import Texts
from notify.templates.rendering import (
    MOST_HTML_BYTES,
    MOST_LOCALES,
    MOST_MESSAGE_BYTES,
    MOST_SOURCE_BYTES,
    MOST_TITLE_CHARS,
)

_SOURCE = Meta(
    min_length=1,
    max_length=MOST_SOURCE_BYTES,
    extra_json_schema={"format": "template-source", "pattern": r"^[^\u0000]*$"},
)


class Sources(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """The sources of one locale's texts, each a Jinja template of at most 64 KiB."""

    title: Annotated[
        str,
        _SOURCE,
        Meta(description=f"At most {MOST_TITLE_CHARS} characters in a single line, when it is rendered."),
    ]
    message: Annotated[
        str, _SOURCE, Meta(description=f"At most {MOST_MESSAGE_BYTES} bytes of UTF-8, when it is rendered.")
    ]
    html: Annotated[
        Annotated[str, _SOURCE] | None,
        Meta(
            description="For channels that show HTML; what variables hold is escaped in it. "
            f"At most {MOST_HTML_BYTES} bytes, when it is rendered."
        ),
    ] = None


class TemplateFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a template says, by locale."""

    default_locale: Annotated[
        Locale, Meta(description="One of locales: for whom no other fits, and for the batch itself.")
    ]
    locales: Annotated[
        dict[str, Sources],
        Meta(
            min_length=1,
            max_length=MOST_LOCALES,
            description="Sources by language tag, at most 1 MiB of them. A recipient gets the exact one, else that of "
            "a shorter tag (de for de-AT), else the default.",
            extra_json_schema={"propertyNames": {"pattern": "^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$"}},
        ),
    ]


class PreviewRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What to render, and with what."""

    variables: Variables = msgspec.field(default_factory=lambda: Raw(b"{}"))
    locale: Annotated[Locale | None, Meta(description="As of a recipient; null: the default locale.")] = None
    version: Annotated[TemplateVersion | None, Meta(description="Null: the newest.")] = None
    template: Annotated[
        TemplateFields | None, Meta(description="One that is not stored, to be tried out; null: the stored one.")
    ] = None


class TemplateQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which version."""

    version: Annotated[TemplateVersion | UnsetType, Meta(description="By default the newest.")] = UNSET


class TemplatesQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which page of templates."""

    cursor: Annotated[
        Annotated[str, Meta(max_length=200, extra_json_schema={"format": "cursor"})] | UnsetType,
        Meta(description="`next_cursor` of the page before. Opaque."),
    ] = UNSET
    limit: Limit = 50


class StoredTemplate(msgspec.Struct, frozen=True):
    """A version of a template."""

    name: str
    version: Annotated[int, Meta(description="1, 2, 3, …: each change makes one.")]
    default_locale: str
    locales: Annotated[dict[str, Texts], Meta(description="The sources by language tag.")]
    variables: Annotated[
        list[str] | None,
        Meta(description="Variables that are used anywhere in it. Null: it is no good template, and cannot be used."),
    ]
    created_at: datetime


class TemplateSummary(msgspec.Struct, frozen=True):
    """The newest version of a template, without its sources."""

    name: str
    version: int
    default_locale: str
    locales: Annotated[list[str], Meta(description="The language tags that it has texts for.")]
    created_at: datetime


class TemplatePage(msgspec.Struct, frozen=True):
    """A page of templates, by name."""

    items: list[TemplateSummary]
    next_cursor: Annotated[str | None, Meta(description="Continues after this page; null: it was the last.")]


class Preview(msgspec.Struct, frozen=True):
    """What a recipient with this locale would get."""

    locale: Annotated[str, Meta(description="Which of the template's locales was chosen.")]
    title: str
    message: str
    html: str | None
