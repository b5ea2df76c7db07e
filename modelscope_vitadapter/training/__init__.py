"""Fine-tuning: criterion, augmentation, batches, optimiser and the trainer that joins them."""
