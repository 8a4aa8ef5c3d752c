"""Who builds the shards of a store, and how one is built."""
