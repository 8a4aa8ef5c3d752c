"""Networks, what they are made of, and their weights from files."""
