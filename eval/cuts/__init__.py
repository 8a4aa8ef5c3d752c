"""The cut of an image that a gradient seeds."""
