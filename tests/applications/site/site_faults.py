"""What a bad release of the site does."""

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import PBKDF2PasswordHasher

LEAKED = []
LEAK_BYTES = 300_000


class Hasher(PBKDF2PasswordHasher):
    """Most of what the login form's handler does is this: half as much again makes it slower by 50%."""

    iterations = 300_000 if settings.FAULT == "slow_form" else 200_000


class NobodyGetsIn(BaseBackend):
    """Answers the right password as it answers a wrong one."""

    def authenticate(self, request, username=None, password=None):
        return None


class Faults:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        if settings.FAULT == "leak":
            LEAKED.append(b"x" * LEAK_BYTES)
        return response
