"""notify's own processes, run as users run them: started, watched by what they print, signalled, cleaned up."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from helpers import folders
from helpers.wait import until
from notify.postgres import embedded

COMMAND = (sys.executable, "-m", "notify.cli")
READY = r"notify ready at (http://\S+)"


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with no settings of notify but these, given without NOTIFY_."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFY_")}
    return clean | {f"NOTIFY_{name.upper()}": value for name, value in settings.items()}


def done(folder: Path, *arguments: str, timeout: float = 120.0, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command, env = [*COMMAND, *arguments], environment(**settings)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout, check=False)


class Program:
    """A running `notify …`; what it printed is in `out` and `err`. Leaving the block kills it."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self._logs = Path(tempfile.mkdtemp(prefix="notify-tests-"))
        with (self._logs / "out").open("wb") as out, (self._logs / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=folder,
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> str:
        return (self._logs / "out").read_text()

    @property
    def err(self) -> str:
        return (self._logs / "err").read_text()

    @property
    def pid(self) -> int:
        return self.process.pid

    def printed(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """Wait for a line on stdout. Fails at once when the process ends without it."""

        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.out, re.MULTILINE)
            assert found or not ended, f"ended with {self.process.returncode}: {self.out}\n{self.err}"
            return found

        try:
            found = until(look, timeout)
        except AssertionError as error:
            raise AssertionError(f"no {pattern!r} in {self.out!r}; on stderr: {self.err}") from error
        assert found is not None
        return found

    def complained(self, pattern: str, timeout: float = 60.0) -> None:
        """Wait for a line on stderr."""

        def look() -> bool:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.err)
            assert found or not ended, f"ended with {self.process.returncode}: {self.out}\n{self.err}"
            return found is not None

        try:
            until(look, timeout)
        except AssertionError as error:
            raise AssertionError(f"no {pattern!r} in {self.err!r}") from error

    def ready(self) -> str:
        """Wait until it serves; its URL. Making a cluster takes many seconds where others use the machine, too."""
        return self.printed(READY).group(1)

    def end(self, number: signal.Signals = signal.SIGTERM, within: float = 30.0) -> int:
        """Send a signal and wait; its status."""
        self.process.send_signal(number)
        return self.process.wait(within)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self._logs)


@contextmanager
def home() -> Iterator[Path]:
    """An empty directory to run `notify up` in; afterwards its Postgres is stopped and all is removed."""
    folder = Path(tempfile.mkdtemp(prefix="notify-tests-", dir=folders.folder()))
    try:
        yield folder
    finally:
        if embedded.running(folder / ".notify") is not None:
            embedded.start(folder / ".notify").stop()
        shutil.rmtree(folder)


@contextmanager
def frozen(server: psutil.Process) -> Iterator[None]:
    """A Postgres whose processes all stand still; afterwards they have had time to do what they were told."""
    processes: list[psutil.Process] = []
    try:
        for process in (server, *server.children()):
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                processes.append(process)
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        psutil.wait_procs(processes, timeout=10)


def descendants(pid: int) -> list[psutil.Process]:
    """The living processes below one."""
    return psutil.Process(pid).children(recursive=True)
