"""Imported by hostile configs; says so in the canary."""

from tests.fuzz.canary import touch

touch()
