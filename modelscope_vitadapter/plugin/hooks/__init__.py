"""What this package changes in ModelScope, in memory only, one change a module."""
