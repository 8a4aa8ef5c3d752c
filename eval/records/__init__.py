"""Records as numbers that can be compared."""
