"""Whole folders of images, segmented and saved: what `vitadapter predict` does."""
