"""Running a hypothesis state machine: the same examples each time, and as many as the suite has time for."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run(make: Callable[[], RuleBasedStateMachine], examples: int) -> None:
    """`make` gives a new machine for each example of 40 steps at most."""
    run_state_machine_as_test(
        cast(type[RuleBasedStateMachine], make),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
