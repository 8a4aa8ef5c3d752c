"""Saliency from superpixels: GS, MC, MR, RBD and their consensus."""
