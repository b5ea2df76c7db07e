"""Reading and writing the weights of a model directory, without ModelScope."""
