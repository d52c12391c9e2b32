"""Makes the site's database with its one user."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command

call_command("migrate", verbosity=0)
User.objects.create_superuser("synthetic", "", os.environ["SITE_PASSWORD"])
