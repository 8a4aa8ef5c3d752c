"""How good saliency masks are against ground truth: numbers, curves and pictures."""
