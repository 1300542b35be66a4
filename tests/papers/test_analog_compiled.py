"""The compiled pass over devices against the arithmetic that it stands for."""

import numpy as np
import pytest
import torch

from popinv_papers.analog.devices import varied
from popinv_papers.analog.pulses import Pulses, Trains, sums_of_samples

SHAPE = (7, 30)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("reach", [0.02, 0.7])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_compiled_pass_gives_what_the_formulas_give(sign, reach, noise):
    rng = np.random.default_rng(3)

    def normal(shape):
        return torch.from_numpy(rng.standard_normal(shape))

    device = varied(reach, SHAPE, normal)
    delta, x = normal((5, SHAPE[0])), torch.relu(normal((5, SHAPE[1])))
    gradient, size = sums_of_samples(delta, x, Trains(50.0, 31, sign))
    w = (0.8 * normal(SHAPE)).clip(device.low, device.high)
    moved = []
    # Devices without bounds go through the formulas, one after the other.
    for bounds in (device.bounds, None):
        move = Pulses(1e-3, torch.Generator().manual_seed(4), noise)
        kind = type(device)(device.up, device.down, device.low, device.high, None, bounds)
        moved.append(move(kind, w, sign * 0.05 * gradient, 0.05 * size))
    # Both are sums of thirty terms of size 1 in double precision.
    torch.testing.assert_close(*moved, rtol=1e-12, atol=1e-14)
    assert not torch.equal(moved[0], w)
