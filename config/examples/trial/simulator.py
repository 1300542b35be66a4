"""Level of a drug in the blood after a dose by mouth, absorbed and cleared at constant rates."""

import torch


def solve(z, design, times):
    """Return levels in mg/L, shape (patients, times).

    The columns of z are ka (1/h), volume (L) and clearance (L/h). The column of `design` is the
    dose (mg).
    """
    ka, volume, clearance = (z[:, i : i + 1] for i in range(3))
    k, t = clearance / volume, torch.as_tensor(times)
    return design * ka / volume / (ka - k) * (torch.exp(-k * t) - torch.exp(-ka * t))
