"""Model directories that want to do harm, and harmless ones that look alike."""
