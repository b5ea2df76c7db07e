"""Measurements of speed, memory and loading against ModelScope's built-in model; see README.md."""
