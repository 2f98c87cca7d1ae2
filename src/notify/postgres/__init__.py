"""Talking to Postgres: connections, statements from sql/, migrations, and the embedded server."""
