"""Runs side by side: one page that a person who was not there can judge from."""
