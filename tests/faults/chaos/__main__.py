"""`just chaos SEED MINUTES [--json]`: one run; exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys

import msgspec

from faults.chaos.nemesis import drawn
from faults.chaos.report import is_good, summary, table
from faults.chaos.run import run
from faults.chaos.world import world


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("minutes", type=float, help="of storms and calms; the last one is not cut short")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("chaos").setLevel(logging.INFO)
    # It warns of each connection that is cut, which is what happens here all the time.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    script = drawn(random.Random(options.seed), options.minutes * 60)
    with world() as made:
        try:
            result = asyncio.run(run(made, options.seed, script, storm_seconds=options.minutes * 60))
        except BaseException:
            print(f"seed {options.seed}", file=sys.stderr)  # noqa: T201
            raise
    told = msgspec.json.format(msgspec.json.encode(summary(result))).decode() if options.json else table(result)
    print(told)  # noqa: T201
    return 0 if is_good(result) else 1


if __name__ == "__main__":
    sys.exit(main())
