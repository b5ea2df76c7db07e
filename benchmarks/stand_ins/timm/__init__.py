"""Stands in for timm, of which the built-in model takes four small names."""
