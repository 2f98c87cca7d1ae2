"""The same work done by others, each a program of its own."""
