"""compose.yaml starts things in the right order and names no registry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from notify import environment
from notify.cli import app

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("migrate", "api", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_there_is_one_of_each(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", *SERVICES}


def test_nothing_starts_before_what_it_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("api", "worker"):
        needs = services[name]["depends_on"]
        assert needs["postgres"] == {"condition": "service_healthy"}
        assert needs["migrate"] == {"condition": "service_completed_successfully"}
    assert services["migrate"]["restart"] == "no"


def test_what_keeps_running_has_a_health_check(compose: dict[str, Any]) -> None:
    for name in ("postgres", "api", "worker"):
        assert compose["services"][name]["healthcheck"]["test"][0] == "CMD"


def test_commands_and_settings_exist(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        service = compose["services"][name]
        assert service["command"][0] == name
        assert environment.unknown(service["environment"]) == []
        assert "NOTIFY_DATABASE_URL" in service["environment"]
        if name != "migrate":
            assert service["healthcheck"]["test"][1:3] == ["notify", "doctor"]
    assert {"migrate", "api", "worker", "doctor"} <= set(app._MODULES)


def test_services_have_the_time_to_stop(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) > 10


def test_the_image_is_made_of_this_repository(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        recipe = compose["services"][name]["build"]["dockerfile_inline"]
        for source in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE):
            assert all((ROOT / part).exists() for part in source.split())
        assert re.search(r"^USER notify$", recipe, re.MULTILINE)


def test_images_are_plain_names(compose: dict[str, Any]) -> None:
    recipe = compose["services"]["api"]["build"]["dockerfile_inline"]
    images = [service["image"] for service in compose["services"].values()]
    for image in [*images, *re.findall(r"^FROM (\S+)", recipe, re.MULTILINE)]:
        assert re.fullmatch(r"[a-z]+(:[\w.-]+)?", image), image


def test_only_this_machine_reaches_the_api(compose: dict[str, Any]) -> None:
    assert compose["services"]["api"]["ports"] == ["127.0.0.1:8000:8000"]
    assert "ports" not in compose["services"]["postgres"]
