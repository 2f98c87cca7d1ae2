"""For tests of channels of one's own: an installed distribution that has an entry point for one."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, code: str, thing: str) -> None:
    """Let this process find a distribution of one module, whose `thing` is an entry point for a channel."""
    (folder / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[notify.channels]\n{module} = {module}:{thing}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
