"""How well a model segments: confusion matrix, metrics, and how they are taken and shown."""
