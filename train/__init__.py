"""Shards to checkpoints: contrastive pretraining with copy-paste, on torch."""
