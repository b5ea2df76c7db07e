"""Labelled data sets: pictures with a class for each pixel, from folders, tables and lists."""
