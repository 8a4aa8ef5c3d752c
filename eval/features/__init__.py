"""From a folder of images to a matrix of features."""
