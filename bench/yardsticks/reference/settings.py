"""Django's settings: persistent connections, and nothing that the view or the tasks do not need."""

from __future__ import annotations

import os

from psycopg.conninfo import conninfo_to_dict

_place = conninfo_to_dict(os.environ["REFERENCE_DATABASE"])

SECRET_KEY = "bench"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "bench.yardsticks.reference.views"
INSTALLED_APPS = ["bench.yardsticks.reference"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _place["dbname"],
        "HOST": _place.get("host", ""),
        "PORT": _place.get("port", ""),
        "USER": _place.get("user", ""),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"application_name": "reference"},
    }
}
