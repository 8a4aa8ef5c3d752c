"""Checkpoints, whoever wrote them, as frozen networks."""
