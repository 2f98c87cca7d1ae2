"""The guide names every setting with its default, and every problem type."""

from __future__ import annotations

from pathlib import Path

import pytest

from notify import errors
from notify.config import Settings
from notify.environment import Described, describe

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")


def row(setting: Described) -> str:
    value = setting.value
    shown = "" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
    return f"| `{setting.variable}` | {shown} | {setting.description} |"


@pytest.mark.parametrize("setting", describe(Settings(), {}), ids=lambda setting: setting.name)
def test_every_setting_stands_in_the_guide(setting: Described) -> None:
    assert row(setting) in GUIDE


def test_every_problem_that_an_answer_can_have_stands_in_the_guide() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.NotifyError)]
    slugs = {kind.slug for kind in kinds if kind.status < 500 or kind in (errors.Busy, errors.Unavailable)}
    assert {slug for slug in slugs if f"`{slug}`" not in GUIDE} == set()
