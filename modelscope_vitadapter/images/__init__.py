"""Pictures in and out: reading inputs, the test-time transforms, writing results."""
