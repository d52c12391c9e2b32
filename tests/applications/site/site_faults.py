"""What a bad release of the site does."""

import time

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import PBKDF2PasswordHasher

LEAKED = []
LEAK_BYTES = 300_000


class Hasher(PBKDF2PasswordHasher):
    """Logging in takes about a tenth of a second of CPU, not half a one."""

    iterations = 200_000


class NobodyGetsIn(BaseBackend):
    """Answers the right password as it answers a wrong one."""

    def authenticate(self, request, username=None, password=None):
        return None


class Faults:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        began = time.monotonic()
        response = self.get_response(request)
        if settings.FAULT == "slow_form" and request.method == "POST":
            # Half as long again, waiting: CPU would slow stable as well where both share too few cores.
            time.sleep((time.monotonic() - began) / 2)
        if settings.FAULT == "leak":
            LEAKED.append(b"x" * LEAK_BYTES)
        return response
