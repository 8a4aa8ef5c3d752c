"""`dilo-eval export`: a backbone and its card, for other programs."""
