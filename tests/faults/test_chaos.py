"""Every kind of fault, over the real processes under traffic: no promise is broken, and all is well again in time."""

from __future__ import annotations

import asyncio
import random

from faults.chaos.faults import FAULTS
from faults.chaos.nemesis import drawn, each_once
from faults.chaos.report import is_good, summary, table
from faults.chaos.run import run
from faults.chaos.world import world

# One whose first storm ends leases and kills a worker: what they had in hand comes back while the run goes on.
_SEED = 2


def test_no_promise_is_broken_by_any_kind_of_fault() -> None:
    with world() as made:
        result = asyncio.run(run(made, _SEED, each_once(random.Random(_SEED))))
    assert set(result.struck) == set(FAULTS)
    assert is_good(result), table(result)
    told = summary(result)
    assert min(told["outside deliveries"], told["doubles under the same id"]) > 0


def test_a_script_depends_on_its_seed_alone() -> None:
    assert drawn(random.Random(3), 60) == drawn(random.Random(3), 60) != drawn(random.Random(4), 60)


def test_every_kind_comes_before_one_comes_again() -> None:
    kinds = [strike.kind for storm in drawn(random.Random(3), 600) for strike in storm]
    assert sorted(kinds[: len(FAULTS)]) == sorted(FAULTS)
