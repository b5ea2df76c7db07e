"""Stands in for torchvision: mmcv asks for its version and looks through its models."""

__version__ = "0.15.0"  # from 0.14 on, mmcv asks `models` what it offers instead of importing all
