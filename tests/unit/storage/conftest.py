"""What all tests of storage share: time for hypothesis."""

from __future__ import annotations

from hypothesis import settings

# A machine under load must not fail a property for being slow.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
