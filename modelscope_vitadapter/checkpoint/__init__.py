"""Reading and writing the weights of a model directory; of this package only errors and logs."""
