"""How far a classifier relies on backgrounds: the Backgrounds Challenge, and variations of ours."""
