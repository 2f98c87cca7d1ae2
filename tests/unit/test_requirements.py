"""requirements.txt, which production images install: every file by its hash, within pyproject.toml's bounds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["server"]]
TEXT = (ROOT / "requirements.txt").read_text()
PINNED = {
    canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([\w.!+-]+)", TEXT, re.MULTILINE)
}


@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: str(wanted.name))
def test_pins_lie_within_the_bounds(wanted: Requirement) -> None:
    for name in (wanted.name, *(f"{wanted.name}-{extra}" for extra in wanted.extras)):
        pinned = PINNED[canonicalize_name(name)]
        assert wanted.specifier.contains(pinned), f"{name} {pinned}: `just requirements` makes the file anew"


def test_every_pin_has_its_hashes_and_no_host_is_named() -> None:
    pins = re.split(r"^(?=[\w.-]+==)", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(pins) == len(PINNED)
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in TEXT
    assert "index" not in TEXT
