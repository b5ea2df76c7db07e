"""Layouts that datasets have on disk, a module for each."""
