"""Discrepancies between samples, with gradients.

- `popinv.transport.sliced`: sliced squared Wasserstein distances, the loss of the descent;
- `popinv.transport.energy`: sliced and exact energy distances, an alternative loss and a
  held-out score.
"""
