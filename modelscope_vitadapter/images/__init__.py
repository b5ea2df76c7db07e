"""Images in and out: reading inputs, the test transforms applied, writing results."""
