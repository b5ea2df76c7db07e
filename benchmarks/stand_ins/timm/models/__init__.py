"""Holds `layers`."""
