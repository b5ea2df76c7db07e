"""Reading and writing the weights of a model directory.

Only torch, safetensors and the standard library are used here. `names` says what the names in a
checkpoint stand for; `open` reads its tensors, with `pickles` and `torch_files` for what
`torch.save` writes; `load` puts them into a network; `save` and `model_directory` write them.
"""
