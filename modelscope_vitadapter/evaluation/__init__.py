"""How well a model segments: confusion matrix, figures, and how they are taken and shown."""
