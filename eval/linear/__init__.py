"""The linear probe: a linear layer on a frozen trunk, by a published protocol or in minutes."""
