"""The loop, its optimisers and checkpoints, and the task of pretraining."""
