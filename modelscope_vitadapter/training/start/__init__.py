"""What a training run starts from: a model directory with the classes that are to be learned."""
