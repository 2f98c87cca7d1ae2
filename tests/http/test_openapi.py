"""The OpenAPI document says what the routes are, and the API keeps what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar
from litestar.routes import HTTPRoute

from helpers.server import serving
from notify.config import Settings

_HERE = Path(__file__).parent


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_every_route_is_documented_once(app: Litestar, api: httpx.AsyncClient) -> None:
    document = (await api.get("/schema/openapi.json")).json()
    listed = [re.sub(r"\{(\w+)\}", r"{\1:str}", name.rstrip("/")) for name, _ in operations(document)]
    served = [
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method != "OPTIONS"
    ]
    assert sorted(listed) == sorted(served)
    assert {
        "/api/notifications/schedule/",
        "/api/notifications/{id}/cancel_scheduled/",
        "/api/notifications/{id}/schedule_status/",
    } <= document["paths"].keys()


async def test_every_operation_explains_itself(api: httpx.AsyncClient) -> None:
    document = (await api.get("/schema/openapi.json")).json()
    assert document["info"]["title"] == "notify"
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["operationId"], name
        for body in [operation["requestBody"]] if "requestBody" in operation else []:
            assert body["content"]["application/json"]["example"], name
        for status, response in operation["responses"].items():
            problem = response.get("$ref", "").startswith("#/components/responses/Problem")
            assert problem == (int(status) >= 400), (name, status)
            for content in response.get("content", {}).values():
                free = {"text/plain", "text/html"} & response["content"].keys() or "openapi.json" in name
                assert free or content["example"], (name, status)
        for parameter in operation["parameters"]:
            assert parameter["description"], (name, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        for field, property in schema.get("properties", {}).items():
            assert property["description"], (name, field)
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]


def test_api_keeps_what_it_says(settings: Settings) -> None:
    """Schemathesis with all checks and phases. What it does not do by default is in the file it is configured by."""
    with serving(settings) as url:
        result = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(_HERE / "schemathesis.toml")),
                *("run", f"{url}/schema/openapi.json", "--header", f"Authorization: Bearer {settings.api_key}"),
            ],
            env=os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(_HERE)},
            capture_output=True,
            text=True,
            timeout=400,
        )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-2_000:]
