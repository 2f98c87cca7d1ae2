"""The console script where packages are missing, and the help."""

from __future__ import annotations

import importlib

import pytest

from notify import cli


@pytest.mark.parametrize(("package", "extra"), [("click", "server"), ("psutil", "embedded")])
def test_it_says_which_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str, extra: str
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        f"notify: this command needs the package {package}: pip install 'notify-postgres[{extra}]'\n"
    )


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError(name="notify.nothing")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        cli.main()
