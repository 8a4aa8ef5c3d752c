"""Weights in files, whoever wrote them: read, told whose they are, and loaded."""
