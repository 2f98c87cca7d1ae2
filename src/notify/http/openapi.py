"""The OpenAPI document, made of what the routes declare and of the structs that they read and write.

So it cannot list a path that is not there, nor miss one; a test sends what it promises and compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

import msgspec

from notify.http import examples, problems, words
from notify.http.bodies import MOST_ID
from notify.http.claims import HEADER, MOST_CHARS, REPLAYED
from notify.http.problems import Problem
from notify.http.routes import JSON, Doc
from notify.templates.rendering import NAME

_REF = "#/components/schemas/{name}"
_PLAIN: dict[Any, str] = {str: "string", dict: "object"}
_IN_PATH = re.compile(r"\{([a-z]+):str\}")
_ID: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MOST_ID, "format": "int64"}
# Recipient ids in a path: all but the dots, which clients take for directories.
_RECIPIENT: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 128,
    "format": "recipient-id",
    "pattern": r"^(?!\.{1,2}$)[^\u0000-\u001f\u007f-\u009f]+$",
}
_TYPE: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": r"^(?!\.{1,2}$)[^\u0000]+$"}
_TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "recipients": (_RECIPIENT, "ada"),
    "channels": (
        {"type": "string", "minLength": 1, "maxLength": 32, "pattern": "^(?!inbox$)[a-z][a-z0-9_]*$"},
        "email",
    ),
    "types": (_TYPE, "news"),
    "templates": ({"type": "string", "pattern": f"^{NAME}$"}, "order.shipped"),
    "unsubscribe": (
        {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$"},
        "eyJ0.eyJz.c2ln",
    ),
}
_PROBLEM_TEXTS = {
    400: "The input cannot be accepted; `field` names what is wrong with it. Nothing was written.",
    401: "No credential, or one that does not hold.",
    403: "The credential does not allow this.",
    404: "There is no such thing.",
    409: "The status forbids this (`notification_status` or `delivery_status` tells it), or a request with the same "
    "Idempotency-Key is in flight.",
    413: "The body is too large. Nothing was written.",
    415: "The body is not declared as JSON.",
    408: "The body did not come in time.",
    429: "Too many requests: more than the rate limit allows, or too many of yours are waiting already.",
    422: "The Idempotency-Key was used for another request.",
    500: "A defect on our side.",
    503: "Not now: the database is out of reach, or another transaction holds what this one needs.",
}
_ANSWER_TEXTS = {200: "Done.", 201: "Created.", 204: "Gone."}
_ACCESS_TEXTS = {
    "schedule": "Needs a key with the scope `schedule`.",
    "read": "Needs a key with the scope `read`.",
    "admin": "Needs a key with the scope `admin`.",
    "inbox": "Needs the recipient's token, or a key with the scope `read` and `?recipient=`.",
    "inbox-write": "Needs the recipient's token, or a key with the scope `schedule` and `?recipient=`.",
    "public": "Needs no key.",
}
_DESCRIPTION = """Scheduled notifications in the Postgres you already have.

Send `Authorization: Bearer KEY` (or `Token KEY`). Every refusal is `application/problem+json` with a stable `type`.
Paths work with and without their last slash. POST, PATCH and DELETE take an `Idempotency-Key`: a repeated request
gets the first answer again."""


def build(docs: Iterable[Doc], version: str) -> dict[str, Any]:
    """The document of these routes."""
    routes = sorted(docs, key=lambda doc: (doc.path, doc.method))
    paths: dict[str, dict[str, Any]] = {}
    for doc in routes:
        paths.setdefault(doc.path.replace(":str}", "}"), {})[doc.method.lower()] = _operation(doc)
    return {
        "openapi": "3.1.0",
        "info": {"title": "notify", "version": version, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "responses": {f"Problem{status}": _problem(status) for status in _PROBLEM_TEXTS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a recipient's token. `Token KEY` works as well.",
                }
            },
        },
        "tags": [{"name": tag} for tag in sorted({doc.tag for doc in routes})],
    }


def _operation(doc: Doc) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": doc.name,
        "tags": [doc.tag],
        "summary": doc.summary,
        "description": "\n\n".join(filter(None, (doc.description, _ACCESS_TEXTS[doc.access], _size(doc)))),
        "parameters": [*_path_parameters(doc), *_query_parameters(doc), *_header_parameters(doc)],
        "responses": _responses(doc),
    }
    if doc.access != "public":
        operation["security"] = [{"bearer": []}]
    if doc.body is not None:
        operation["requestBody"] = {
            "required": doc.body_required,
            "content": {JSON: _content(doc.body)},
        }
    return operation


def _size(doc: Doc) -> str:
    if doc.body is None:
        return ""
    if doc.most_bytes is None:
        return "The body may have as many bytes as the server's NOTIFY_MAX_BODY_BYTES says."
    return f"The body may have {doc.most_bytes} bytes."


def _responses(doc: Doc) -> dict[str, Any]:
    good = {str(status): _good(doc, status, kind) for status, kind in doc.answers.items()}
    return good | {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in _errors(doc)}


def _errors(doc: Doc) -> list[int]:
    statuses = set(doc.errors)
    if doc.access != "public":
        statuses |= {401, 403, 429, 503}
    if doc.body is not None:
        statuses |= {408, 413, 415}
    if doc.idempotent:
        statuses |= {400, 409, 413, 422}
    return sorted(statuses | {500})


def _good(doc: Doc, status: int, kind: Any) -> dict[str, Any]:
    response: dict[str, Any] = {"description": _ANSWER_TEXTS[status]}
    if kind is not None:
        response["content"] = {doc.media_type.partition(";")[0]: _content(kind)}
    if doc.idempotent:
        response["headers"] = {
            REPLAYED: {
                "description": "`true` where this is the first answer again.",
                "schema": {"type": "string", "enum": ["true"]},
            }
        }
    return response


def _problem(status: int) -> dict[str, Any]:
    headers = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
    response: dict[str, Any] = {
        "description": _PROBLEM_TEXTS[status],
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
    if status in headers:
        response["headers"] = {headers[status]: {"required": True, "schema": {"type": "string"}}}
    return response


def _content(kind: Any) -> dict[str, Any]:
    if kind in _PLAIN:
        return {"schema": {"type": _PLAIN[kind]}}
    if kind is not (item := _item(kind)):
        one = _content(item)
        return {"schema": {"type": "array", "items": one["schema"]}, "example": [one["example"]]}
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(name=kind.__name__)}}
    if kind in examples.OF:
        content["example"] = examples.OF[kind]
    return content


def _item(kind: Any) -> Any:
    """What a list is of; anything else itself."""
    return get_args(kind)[0] if get_origin(kind) is list else kind


def _path_parameters(doc: Doc) -> list[dict[str, Any]]:
    found = _IN_PATH.search(doc.path)
    if found is None:
        return []
    name = found[1]
    said = "What the link says." if name == "token" else f"Which of the {doc.tag}."
    schema, example = _TEXTS.get(doc.tag, (_ID, 1))
    return [{"name": name, "in": "path", "required": True, "description": said, "schema": schema, "example": example}]


def _query_parameters(doc: Doc) -> list[dict[str, Any]]:
    if doc.query is None:
        return []
    _, components = msgspec.json.schema_components([doc.query], ref_template=_REF)
    schema = components[doc.query.__name__]
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": property.get("description", ""),
            "schema": {key: value for key, value in property.items() if key != "description"},
        }
        for name, property in schema["properties"].items()
    ]


def _header_parameters(doc: Doc) -> list[dict[str, Any]]:
    if not doc.idempotent:
        return []
    return [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "Any text of your own: a repeated request with it gets the first answer again, for 24 h.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MOST_CHARS, "pattern": "^[!-~]+$"},
        }
    ]


def _schemas(docs: Iterable[Doc]) -> Mapping[str, Any]:
    kinds = [Problem]
    for doc in docs:
        kinds += [_item(kind) for kind in (doc.body, *doc.answers.values()) if kind is not None and kind not in _PLAIN]
    _, components = msgspec.json.schema_components(list(dict.fromkeys(kinds)), ref_template=_REF)
    # What the structs cannot say: at least one of its members; its own texts, or a template.
    components["ReadRequest"]["minProperties"] = 1
    components["ScheduleRequest"]["anyOf"] = [{"required": ["title", "message"]}, {"required": ["template"]}]
    words.explain(components)
    return components
