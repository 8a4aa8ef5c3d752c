"""Images to saliency masks and background crops, cached in sharded HDF5. Never imports torch."""
