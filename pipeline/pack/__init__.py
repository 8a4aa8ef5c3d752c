"""Packing: images of any source into shards, as they are or smaller."""
