"""`dilo-eval localize`: maps against objects."""
