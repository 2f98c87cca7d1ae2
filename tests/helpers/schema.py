"""The schema as text: what pg_dump says of `notify`, without what differs from run to run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_NOISE = re.compile(r"(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict)")
# Functions are applied again whenever their files change, so that only their signatures can differ between paths.
_BODY = re.compile(r"\bAS (\$\w*\$).*?\1", re.DOTALL)


def dump(bin_dir: Path, dsn: str) -> str:
    """`pg_dump --schema-only --schema=notify`, a blank line between statements, bodies of functions left out."""
    command: list[str | Path] = [
        bin_dir / "pg_dump",
        "--schema-only",
        "--schema=notify",
        "--no-owner",
        "--no-privileges",
        f"--dbname={dsn}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if not _NOISE.match(line)]
    text = _BODY.sub("AS …", "\n".join(lines))
    return re.sub(r"\n{2,}", "\n\n", text).strip() + "\n"
