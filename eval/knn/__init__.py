"""Nearest neighbours: whose conventions, which memory, what was found."""
