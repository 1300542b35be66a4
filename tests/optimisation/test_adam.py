"""Adam's step against torch's."""

from __future__ import annotations

import numpy as np
import torch

from popinv.optimisation.adam import adam


def test_steps_are_those_of_torch_on_tensors_and_on_arrays():
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal(7), rng.standard_normal((5, 7))
    theirs = torch.tensor(start, requires_grad=True)
    optimiser = torch.optim.Adam([theirs], lr=0.1)
    array = (start, np.zeros(7), np.zeros(7))
    tensor = tuple(torch.from_numpy(part) for part in array)
    for t, g in enumerate(gradients, start=1):
        theirs.grad = torch.from_numpy(g)
        optimiser.step()
        *moments, mean, root = adam(g, *array[1:], t)
        array = (array[0] - 0.1 * mean / root, *moments)
        *moments, mean, root = adam(torch.from_numpy(g), *tensor[1:], t)
        tensor = (tensor[0] - 0.1 * mean / root, *moments)
        np.testing.assert_allclose(array[0], theirs.detach().numpy(), rtol=1e-12)
        assert np.array_equal(tensor[0].numpy(), array[0])


def test_another_size_can_stand_in_for_the_square_of_the_gradient():
    gradient, zero = np.array([3.0, -4.0]), np.zeros(2)
    _, second, mean, root = adam(gradient, zero, zero, 1, square=np.full(2, 25.0))
    np.testing.assert_allclose(second, 0.001 * 25)
    np.testing.assert_allclose(mean / root, gradient / 5, rtol=1e-8)
