"""Parts of `Calibrated`: held-out scores and maps of them."""
