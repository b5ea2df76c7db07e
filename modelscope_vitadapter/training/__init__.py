"""Fine-tuning: criterion, augmentation, batches, optimiser; `plugin.trainer` joins them."""
