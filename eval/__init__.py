"""Checkpoints and masks to numbers and pictures."""
