"""Reading and writing the weights of a model directory.

Only torch, safetensors and the standard library are used here. `locate` finds the file, `keys`
says what its names stand for, `torch_zip`, `torch_old` and `safetensors_file` read one format
each, `load` puts the tensors into a network, `save` and `directory` write them.
"""
