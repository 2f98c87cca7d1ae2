"""Does harm by a script that is drawn from the seed: storms of faults, and a calm after each to recover in."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import Counter
from typing import NamedTuple

import psycopg

from faults.chaos.faults import FAULTS
from faults.chaos.observer import Observer
from faults.chaos.pace import pause
from faults.chaos.world import World

log = logging.getLogger("chaos")

_STORM_SECONDS = 12.0
_LONG_ONES = 0.15
# A calm ends when all is well again; not after this, so that the run says what is wrong.
_PATIENCE_SECONDS = 75.0


class Strike(NamedTuple):
    """One fault: so long after the one before, for so long."""

    after: float
    kind: str
    seconds: float


Script = list[list[Strike]]


def drawn(rng: random.Random, seconds: float) -> Script:
    """Storms for about so long, calms not counted. All kinds come before one comes again."""
    script: Script = []
    kinds: list[str] = []
    while seconds > 0:
        storm: list[Strike] = []
        while sum(strike.after for strike in storm) < _STORM_SECONDS:
            kinds = kinds or rng.sample(list(FAULTS), len(FAULTS))
            kind = kinds.pop()
            storm.append(Strike(rng.uniform(0.5, 3), kind, _length(rng, kind, FAULTS[kind].longest)))
        script.append(storm)
        seconds -= _STORM_SECONDS
    return script


def each_once(rng: random.Random, longest: float = 4.0) -> Script:
    """Every kind once, none longer than this, in three storms."""
    kinds = rng.sample(list(FAULTS), len(FAULTS))
    strikes = [Strike(rng.uniform(0.4, 1.2), kind, _length(rng, kind, longest)) for kind in kinds]
    return [strikes[:5], strikes[5:11], strikes[11:]]


def _length(rng: random.Random, kind: str, longest: float) -> float:
    """Long ones are rare, but not so rare that none comes in minutes."""
    fault = FAULTS[kind]
    if rng.random() < _LONG_ONES:
        return min(rng.uniform(fault.shortest, fault.longest), longest)
    return min(fault.shortest + rng.expovariate(1 / 4), fault.longest, longest)


class Nemesis:
    """`struck` counts faults by kind, `missed` those that found no server; `lasting` is how many last now."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world, self._rng = world, rng
        self.struck: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.lasting = 0
        self.told: list[str] = []

    async def run(self, script: Script, observer: Observer, seconds: float = math.inf) -> None:
        """The storms of the script; none begins after so many seconds."""
        ends = time.monotonic() + seconds
        for storm in script:
            if time.monotonic() >= ends:
                return
            async with asyncio.TaskGroup() as strikes:
                for strike in storm:
                    await pause(strike.after)
                    strikes.create_task(self._strike(strike))
            await self._calm(observer)

    async def _strike(self, strike: Strike) -> None:
        self.lasting += 1
        self.struck[strike.kind] += 1
        self._tell(f"{strike.kind} for {strike.seconds:.1f} s")
        try:
            async with FAULTS[strike.kind].act(self._world, self._rng):
                await pause(strike.seconds)
        except psycopg.Error:
            self.missed[strike.kind] += 1
        finally:
            self.lasting -= 1

    async def _calm(self, observer: Observer) -> None:
        """Wait until all is well by itself; what is half open is only then swept away."""
        begun = time.monotonic()
        well = await settled(observer)
        self._tell(f"{'well' if well else observer.why} after {time.monotonic() - begun:.1f} s of calm")
        self._world.heal()

    def _tell(self, what: str) -> None:
        self.told.append(f"{time.monotonic():.1f} {what}")
        log.info(what)


async def settled(observer: Observer, patience: float = _PATIENCE_SECONDS) -> bool:
    """Whether all was well, twice in a row, before patience ended."""
    loop = asyncio.get_running_loop()
    ends, good = loop.time() + patience, 0
    while good < 3 and loop.time() < ends:
        await pause(0.2)
        good = good + 1 if observer.well else 0
    return good >= 3
