"""Discrepancies between samples.

- `popinv.transport.sliced` and `popinv.transport.debiased`: sliced squared Wasserstein distances,
  with gradients, the loss of the descent;
- `popinv.transport.energy`: the sliced energy distance, a held-out score.
"""
