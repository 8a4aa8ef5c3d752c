"""Stores of masks: computed, imported, exported, estimated, shown."""
