"""Whom the embedded server runs as, and what that user must be let into.

Postgres refuses to run as root. As root the server runs as the owner of its data or, for new data, as a
system user made for it. That user must be able to pass the directories above the programs and the data: they
get the right to be passed (o+x), never the right to be listed.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path
from typing import IO, Any

from notify.errors import EmbeddedError

USER = "notify_postgres"


def identity(pgdata: Path) -> pwd.struct_passwd | None:
    """The user to switch to, or None to stay who we are.

    Raises EmbeddedError if the data belongs to somebody whom we cannot become.
    """
    owner = pgdata.stat().st_uid if pgdata.exists() else None
    if os.geteuid() == 0:
        return pwd.getpwuid(owner) if owner else _made()
    if owner not in (None, os.geteuid()):
        raise EmbeddedError(f"{pgdata} belongs to user {owner}: run as that user or as root")
    return None


def popen_options(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Keyword arguments for subprocess that switch to the user; the working directory is one it can be in."""
    # A session of its own: Ctrl-C in the terminal is ours to handle, before the server hears of it.
    options: dict[str, Any] = {"cwd": "/", "start_new_session": True, "stdin": subprocess.DEVNULL}
    if user is not None:
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


def let_in(user: pwd.struct_passwd | None, program: Path, directory: Path) -> None:
    """Make sure that the user can run the program and reach the directory. Only ever needed as root."""
    if user is None:
        return
    _let_pass(directory.resolve())
    _let_pass(program.parent)
    _let_pass(program.resolve())  # files of an environment may be links into a cache
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, **popen_options(user))
    except (subprocess.CalledProcessError, PermissionError):
        _let_read(program.parents[1])  # installed under a umask that keeps others out


def give(path: Path, user: pwd.struct_passwd | None) -> None:
    """Make the user the owner of a file or an empty directory."""
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def open_private(path: Path, mode: str) -> IO[Any]:
    """Open a file; if that makes it, nobody but its owner may open it. The server writes to what it inherits."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def _made() -> pwd.struct_passwd:
    if (user := _found()) is not None:
        return user
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", USER]
    try:
        said = subprocess.run(command, check=False, capture_output=True, text=True).stderr
    except FileNotFoundError as error:
        raise EmbeddedError("Postgres does not run as root, and useradd is missing to make a user") from error
    if (user := _found()) is None:  # it is there, too, when another process was first
        raise EmbeddedError(f"Postgres does not run as root, and useradd failed: {said}")
    return user


def _found() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        return None


def _let_pass(path: Path) -> None:
    for parent in path.parents:
        _add(parent, stat.S_IXOTH)


def _let_read(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        _add(Path(root), stat.S_IROTH | stat.S_IXOTH)
        for name in names:
            path = Path(root, name)
            executable = path.stat().st_mode & stat.S_IXUSR
            _add(path, stat.S_IROTH | (stat.S_IXOTH if executable else 0))


def _add(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)
