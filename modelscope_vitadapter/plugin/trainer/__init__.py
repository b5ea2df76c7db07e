"""Fine-tuning as ModelScope knows it: the trainer, its hooks and its checkpoints."""
