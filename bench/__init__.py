"""What `just bench` runs: every figure of docs/performance.md, each beside its yardstick from the same run.

report.py      a figure, its yardstick, its aim; the table and the JSON
stack.py       the run's own Postgres, databases in it, and notify's processes
context.py     what every measurement is given: sizes, databases, progress
load.py        requests over HTTP, from a process of its own
reference.py   the processes of the stack that notify replaces
yardsticks/    the same work done by others: bare SQL, bare libraries, the stack that notify replaces
the rest       one subject each, with `measure(bench) -> list[Figure]`
"""
