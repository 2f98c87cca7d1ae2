"""`python -m notify.cli`, as the console script."""

from notify.cli import main

main()
