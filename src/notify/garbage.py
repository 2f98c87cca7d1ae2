"""How often Python looks for garbage in a process that serves or sends."""

from __future__ import annotations

import gc

# New objects between two collections of the youngest: Python's own 700 are less than ten connections or calls.
_COLLECT_EVERY = 10_000


def collect_seldom() -> None:
    """Have the garbage collector look at less, and less often: with Python's settings it walks through the whole
    application and all that is under way again and again, and that is no garbage. Under load it took an eighth of the
    time in the API, and a twelfth in the worker."""
    gc.collect()
    gc.freeze()  # what is here by now stays
    gc.set_threshold(_COLLECT_EVERY, 10, 10)
