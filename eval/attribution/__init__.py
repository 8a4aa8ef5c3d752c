"""Where a classifier looks: gradients, activation maps, and masks cut from them."""
