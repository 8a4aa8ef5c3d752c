"""What is seen of a run: its numbers, what it ran on, its nearest neighbours, its curves."""
