"""What a template is, and what is made of it: texts by locale. And which of them a recipient gets."""

from __future__ import annotations

import msgspec


class Texts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The texts of one locale."""

    title: str
    message: str
    html: str | None = None


class Contents(msgspec.Struct, frozen=True):
    """Rendered texts by locale, as they are stored with a batch. The batch's own are the default locale's."""

    default_locale: str
    locales: dict[str, Texts]

    @property
    def default(self) -> Texts:
        """The default locale's."""
        return self.locales[self.default_locale]


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of texts by locale. Without a name it is one that somebody tries out."""

    name: str = ""
    default_locale: str
    locales: dict[str, Texts]


def choose(contents: Contents, locale: str | None) -> Texts:
    """The texts for a recipient with this locale; None: it is not known."""
    return contents.locales[locale_for(contents, locale)]


def locale_for(contents: Contents, locale: str | None) -> str:
    """Which of the locales suits best: `de_at` finds `de-AT`, else `de`, else the default (RFC 4647, lookup)."""
    tags = {plain(tag): tag for tag in contents.locales}
    wanted = plain(locale or "")
    while wanted:
        if wanted in tags:
            return tags[wanted]
        wanted = wanted.rpartition("-")[0]
    return contents.default_locale


def plain(tag: str) -> str:
    """A language tag as it is compared: case and the kind of dash do not count."""
    return tag.lower().replace("_", "-")
