"""How much of a map lies on the object: maps of classifiers against masks or boxes."""
