"""The network in plain PyTorch: BEiT, ViT-Adapter, pixel decoder, masked-attention decoder.

Reading order, from an image to classes and masks: `segmentor`, `adapter` (with `spatial_prior`,
`beit`, `interaction`), `mask2former_head` (with `pixel_decoder`, `transformer_layer`). Module and
parameter names are those of the published checkpoint. `cpu` computes the same on a processor.

Shape letters used in all docstrings: B images, N tokens, C channels, H and W height and width,
Q queries, L levels, P points, M heads, D channels of one head, K classes.
"""
