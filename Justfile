# Every recipe uses the tools of the current environment: `uv run just test`.
set positional-arguments := true

_default:
    @just --list

# format, lint, types, and the direction of imports
check:
    ruff format --check .
    ruff check .
    mypy
    lint-imports

# the whole suite, each core over its own embedded Postgres
test *args:
    pytest -n auto --maxprocesses 8 --dist loadfile "$@"

fmt:
    ruff format .
    ruff check --fix .

# every figure of docs/performance.md beside its yardstick: [--quick] [--json FILE] [--plot FILE] [--only TOPIC …] [--spread FILE …]
bench *args:
    python -m bench "$@"

# write tests/sql/schema.sql anew, after a migration that was meant to change it
schema:
    RENEW_SCHEMA=1 pytest -q tests/sql/test_schema.py -k golden

# write requirements.txt anew: what a production image installs, each file by its hash
requirements:
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
        --custom-compile-command "just requirements" --upgrade --extra server pyproject.toml --output-file requirements.txt

# a run of faults over the real processes: SEED MINUTES [--json]; 1 when a promise was broken
chaos *args:
    PYTHONPATH=tests python -m faults.chaos "$@"
