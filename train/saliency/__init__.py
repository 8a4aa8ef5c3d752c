"""Networks that find the salient object: their layers, their weights, and masks by them."""
