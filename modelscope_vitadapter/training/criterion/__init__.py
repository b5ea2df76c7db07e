"""Mask2Former's loss: queries are matched with classes, then compared at sampled points.

Reading order: `criterion`, with `targets`, `sampling`, `points`, `costs`, `matching`, `losses`.

Shape letters: L predictions, B images, Q queries, K classes, N targets of an image, M matched
queries, P points, (h, w) size of mask logits, (H, W) size of label maps.
"""
