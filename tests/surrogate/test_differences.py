"""Derivatives by differences against exact ones."""

from __future__ import annotations

import torch

from popinv.surrogate.differences import Differenced
from popinv.surrogate.exact import ExactSimulator


def rows(count: int = 6) -> torch.Tensor:
    return 0.5 + torch.rand((count, 3), generator=torch.Generator().manual_seed(1)).double()


def response(z: torch.Tensor) -> torch.Tensor:
    # The last input is known, and steps of it have no derivative.
    return torch.stack([torch.exp(-z[:, 0]) * z[:, 1], z[:, 0] ** 3 + torch.floor(9 * z[:, 2])], 1)


def test_jacobian_and_adjoint_are_those_of_torch():
    z = rows()
    exact = torch.autograd.functional.jacobian(lambda x: response(x).sum(0), z)
    made = Differenced(lambda x: response(x.detach()), 2)
    torch.testing.assert_close(
        made.jacobian(z), exact.permute(1, 0, 2)[..., :2], rtol=1e-7, atol=1e-8
    )
    at = z.clone().requires_grad_(True)
    cotangent = torch.arange(12.0).reshape(6, 2).double()
    (gradient,) = torch.autograd.grad(made(at), at, cotangent)
    wanted = torch.einsum("njp,nj->np", exact.permute(1, 0, 2), cotangent)
    torch.testing.assert_close(gradient, wanted, rtol=1e-7, atol=1e-7)


def test_parts_of_the_observations_are_differentiated_too():
    z = rows()
    tangents = torch.zeros((2, 6, 3)).double()
    tangents[0, :, 0] = tangents[1, :, 1] = 1.0
    torched = ExactSimulator(response)
    # No derivative passes through a function of arrays.
    differenced = ExactSimulator(lambda x: response(x.detach()), parameters=2)
    for of in (
        lambda each: each,
        lambda each: each.of_outputs(torch.tensor([1]).numpy()),
    ):
        for found, wanted in zip(
            of(differenced).linearise(z, tangents), of(torched).linearise(z, tangents), strict=True
        ):
            torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-8)
    placed = torch.cat([z, torch.tensor([[1.0], [0.0]] * 3).double()], dim=1)
    wide = torch.nn.functional.pad(tangents, (0, 1))
    for found, wanted in zip(
        differenced.at_places(1).linearise(placed, wide),
        torched.at_places(1).linearise(placed, wide),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-8)


def test_parameters_of_any_size_have_their_derivatives():
    for size in (1.0, 1e-9, 1e-12):
        z = size * torch.tensor([[0.5], [1.0], [2.0], [0.0]], dtype=torch.float64)
        made = Differenced(lambda x, size=size: torch.exp(-x / size), 1)
        wanted = -torch.exp(-z / size) / size
        torch.testing.assert_close(made.jacobian(z)[..., 0], wanted, rtol=1e-6, atol=0.0)
