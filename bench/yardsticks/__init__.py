"""The work of notify done by others, as yardsticks."""
