"""A change of an object as an expression, so that cases stand in a list of lambdas."""

from __future__ import annotations


def put(subject: object, **values: object) -> object:
    """Change these fields; returns something, as the others do, so that changes stand in one expression."""
    for name, value in values.items():
        setattr(subject, name, value)
    return subject
