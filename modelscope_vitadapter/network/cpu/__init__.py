"""The network arranged for a processor: one window at a time, without autograd.

Every function here computes what a plain module of `modelscope_vitadapter.network` computes, which
stays its oracle in the tests. Tokens are `(N, C)` without a batch axis. What makes it fast:

- work goes in bands of some hundred rows, whose results stay in the cache and in memory that the
  process already holds (fresh memory costs a page fault every 4 KB);
- weights are reordered for the processor's matrix units when they are used and thrown away after,
  about 1 % of a pass; so a network always holds its plain parameters and nothing else.

`dtype` arguments say what matrix products are computed in; everything between them is float32.
"""
