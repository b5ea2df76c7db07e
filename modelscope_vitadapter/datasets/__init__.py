"""Datasets for segmentation: images with a class for each pixel, from folders, tables and lists."""
