"""What gunicorn serves. Each process connects at once, which tells the bench that it is there."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.db import connection  # type: ignore[import-untyped]

application = get_wsgi_application()
connection.ensure_connection()
