"""Files to uint8 crops in batches, on the CPU, and all that chance decides of them."""
