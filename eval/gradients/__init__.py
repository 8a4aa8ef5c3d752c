"""`dilo-eval gradients`: what classifiers look at."""
