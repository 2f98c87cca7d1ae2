"""The tests over a server that is installed on the machine, in place of the embedded one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from pwd import struct_passwd

from notify.postgres import embedded, launch
from notify.postgres.system_user import give, popen_options


def use(bin_dir: Path) -> None:
    """From now on in this process, embedded servers are started from these programs."""

    def found() -> Path:
        return bin_dir

    launch.bin_dir = embedded.bin_dir = found
    launch._init = _init


def _init(programs: Path, pgdata: Path, user: struct_passwd | None, *, sync: bool) -> None:
    """As launch._init, with what initdb of every supported version understands."""
    new = pgdata.with_name("postgres.new")
    new.mkdir(mode=0o700)
    give(new, user)
    command = [str(programs / "initdb"), "-D", str(new), "-U", launch.SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    command += ["--locale=C.UTF-8"] + ([] if sync else ["--no-sync"])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **popen_options(user))
    with (new / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in launch._INITIAL_SETTINGS.items())
    new.rename(pgdata)
