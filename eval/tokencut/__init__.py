"""Masks without labels: a normalised cut of the features of an image's cells."""
