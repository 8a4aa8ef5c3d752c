"""Backgrounds to paste onto: which parts of images and textures they are, and how they look."""
