"""Files of weights: read, whoever wrote them, and written for others."""
