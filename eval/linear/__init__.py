"""The linear probe: a linear layer on a frozen backbone, by a published protocol or in minutes."""
