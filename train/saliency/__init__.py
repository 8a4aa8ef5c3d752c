"""Networks for saliency: what they are, and how they learn it."""
