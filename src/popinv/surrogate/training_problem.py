"""The problem of a training: checked, split and standardised data, a network, and a loss.

The loss of a row is the squared error of its standardised outputs or, with a whitening matrix
W = L^{-1} of the noise covariance L L^T, the squared error in standard deviations of the noise,

    loss_i = |W (F_hat(z_i) - F(z_i))|^2 / d_y

(to first order in the error of the standardised outputs), and the objective is the mean of loss_i
under the row weights (times the weight of ``TrainingSettings.relative_beyond`` against rows from
the tail of the population).
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from torch import nn

from popinv.errors import ConfigError, DataError
from popinv.late import torch
from popinv.population.noise.intrinsic import Factor
from popinv.seeds import generator, generators
from popinv.surrogate.components import extended, principal_components
from popinv.surrogate.device import device_of
from popinv.surrogate.mean_and_factor import GaussianScore
from popinv.surrogate.networks import MLP, build_network
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training_state import TrainingData, TrainingSettings

# Number of held-out rows of the newest round from which these alone validate.
_ENOUGH = 20


@dataclass(frozen=True)
class TrainingProblem:
    """The problem of a training: standardised tensors and a network.

    ``training`` and ``validation`` hold z, y and weights of mean 1; ``error_map`` takes an error
    of scaled outputs (y - mean) / scale to the whitened error (which is taken to first order);
    without it, the error of the standardised outputs counts. The solves of a random simulator have
    a ``score`` instead, of outputs that are scaled alone.
    """

    network: MLP
    standardisation: Standardisation
    training: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    validation: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    error_map: torch.Tensor | None
    fingerprint: str
    score: GaussianScore | None = None

    def row_losses(self, answer: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of every row, without its weight, shape (n,)."""
        if self.score is not None:
            return self.score(answer, y)
        return row_losses(answer, y, self.error_map)


def validation_mask(rows: np.ndarray, seed: int, fraction: float) -> np.ndarray:
    """Mark the validation rows, as a function of (seed, row) alone, for any set of rows.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    draws = [rng.random() for rng in generators(seed, "surrogate/split", rows.tolist())]
    return np.array(draws) < fraction


def prepare(
    data: TrainingData, settings: TrainingSettings, initial: Surrogate | None = None
) -> TrainingProblem:
    """Check and standardise the data and build the network, with its initial weights.

    Raises
    ------
    DataError
        If shapes do not agree, a number is not finite, or no row is left to train on.
    ConfigError
        If the network differs from the network of ``initial``, or cannot be built.
    """
    z, y = np.asarray(data.z, dtype=float), np.asarray(data.y, dtype=float)
    n, device = len(z), device_of(settings.device)
    weights = np.ones(n) if data.weights is None else np.asarray(data.weights, dtype=float)
    rows = np.arange(n) if data.rows is None else np.asarray(data.rows)
    if z.ndim != 2 or y.ndim != 2 or not n == len(y) == len(weights) == len(rows):
        raise DataError(
            f"z {z.shape}, y {y.shape}, weights {weights.shape} and rows {rows.shape} do not agree"
        )
    bad = ~(np.isfinite(z).all(1) & np.isfinite(y).all(1) & np.isfinite(weights) & (weights >= 0))
    if bad.any():
        raise DataError(
            f"{bad.sum()} of {n} training rows hold a number that is not finite or a negative "
            f"weight, the first is row {rows[bad][0]}; leave failed solves out"
        )
    held_out = validation_mask(rows, settings.seed, settings.validation_fraction)
    held_out &= weights > 0
    kept = ~held_out & (weights > 0)
    if not kept.any():
        raise DataError(f"no row is left to train on: {n} rows, {held_out.sum()} of them held out")
    if data.newest is not None and np.count_nonzero(held_out & data.newest) >= _ENOUGH:
        held_out &= data.newest
    if not held_out.any():
        held_out = kept

    if initial is None:
        seen = kept
        if settings.random and data.newest is not None and (kept & data.newest).any():
            # The broad first design would give units in which the population is a point.
            seen = kept & data.newest
        network, standardisation = _fresh(z[seen], y[seen], weights[seen], settings)
    else:
        if dict(settings.hyperparameters) != dict(initial.hyperparameters):
            raise ConfigError(
                f"the network to start from is {dict(initial.hyperparameters)}, but the "
                f"settings request {dict(settings.hyperparameters)}: start afresh to change it"
            )
        standardisation = initial.standardisation
        d_z, d_y = len(standardisation.input_mean), len(standardisation.output_mean)
        if z.shape[1] != d_z or y.shape[1] != d_y:
            raise DataError(f"z {z.shape} and y {y.shape} do not fit the network to start from")
        network = _continued(initial.network, standardisation.standard_outputs(y[kept]))
    network.requires_grad_(True)
    dtype = next(network.parameters()).dtype
    s = standardisation
    error_map, score = None, None
    if settings.random:
        score = GaussianScore.of(s, settings.whitening)
    elif settings.whitening is not None:
        if settings.whitening.shape != (y.shape[1], y.shape[1]):
            raise ConfigError(
                f"whitening is {settings.whitening.shape} for {y.shape[1]} observations"
            )
        scaled = settings.whitening * s.output_scale
        error_map = torch.as_tensor(scaled, dtype=dtype, device=device)
    # Standardised outputs have no heavy tails. A weight that depends on a random answer would bias
    # its mean.
    if settings.relative_beyond is not None and error_map is not None:
        assert settings.whitening is not None
        distance = np.linalg.norm((y - s.output_mean) @ settings.whitening.T, axis=1)
        usual = settings.relative_beyond * np.median(distance[kept])
        if usual > 0:
            weights = weights / (1 + np.square(distance / usual))

    def side(mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        arrays = (
            s.standard_inputs(z[mask]),
            s.standard_outputs(y[mask]) if score is None else score.standardised(s, y[mask]),
            weights[mask] / weights[mask].mean(),
        )
        a, b, c = (torch.as_tensor(array, dtype=dtype, device=device) for array in arrays)
        return a, b, c

    fingerprint = _fingerprint((z, y, weights, rows, held_out), settings, network, standardisation)
    network.to(device)
    return TrainingProblem(
        network, standardisation, side(kept), side(held_out), error_map, fingerprint, score
    )


def _fresh(
    z: np.ndarray, y: np.ndarray, weights: np.ndarray, settings: TrainingSettings
) -> tuple[MLP, Standardisation]:
    """Return a network with random weights, and the units of its first training rows."""
    outputs = y.shape[1] + (Factor(y.shape[1]).size if settings.random else 0)
    standardisation = Standardisation.from_data(z, y, weights, settings.logarithmic)
    components = None
    # The random part of an answer has components of its own, which say nothing about its mean.
    if not settings.random:
        components = principal_components(standardisation.standard_outputs(y))
    # torch draws initial weights from its global generator, which is restored afterwards. Only the
    # processor's generator is seeded; torch.manual_seed would also seed the GPUs' generators.
    with torch.random.fork_rng(devices=[]):
        draw = generator(settings.seed, f"{settings.stage}/weights").integers(2**63)
        torch.default_generator.manual_seed(int(draw))
        network = build_network(settings.hyperparameters, z.shape[1], outputs, components)
    return network, standardisation


def _continued(trained: MLP, outputs: np.ndarray) -> MLP:
    """Return a copy of a trained network, with the components that standardised outputs need."""
    if trained.components is not None:
        return trained.with_components(extended(trained.components, outputs)).cpu()
    return copy.deepcopy(trained).cpu()


def _fingerprint(
    arrays: tuple[np.ndarray, ...],
    settings: TrainingSettings,
    network: nn.Module,
    standardisation: Standardisation,
) -> str:
    plain = {k: v for k, v in vars(settings).items() if k != "whitening"}
    plain["hyperparameters"] = dict(settings.hyperparameters)
    # These settings do not change the result.
    del plain["device"]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    whitening = () if settings.whitening is None else (settings.whitening,)
    inside = [tensor.detach().numpy() for tensor in network.state_dict().values()]
    for array in (*arrays, *whitening, *asdict(standardisation).values(), *inside):
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def row_losses(
    answer: torch.Tensor, y: torch.Tensor, error_map: torch.Tensor | None
) -> torch.Tensor:
    """Return the loss of every row, without its weight, shape (n,); all is standardised."""
    error = answer - y
    if error_map is not None:
        # d sinh(y) = cosh(y) dy: the error in scaled outputs to first order. With the difference of
        # the sinh themselves, a single outlier could overflow or dominate the loss.
        error = (error * torch.cosh(y)) @ error_map.T
    return error.square().mean(dim=1)


def loss_of(
    problem: TrainingProblem, z: torch.Tensor, y: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return the objective on some rows, as a scalar tensor."""
    return (weights * problem.row_losses(problem.network(z), y)).mean()


def loss_and_gradient(
    problem: TrainingProblem, z: torch.Tensor, y: torch.Tensor, weights: torch.Tensor
) -> tuple[float, torch.Tensor]:
    """Return the objective on some rows, and its gradient in all parameters as one vector."""
    answer, pull_back = problem.network.with_pull_back(z)
    if problem.score is not None:
        losses, slopes = problem.score.with_gradient(answer, y)
        share = weights / len(weights)
        return float(share.double() @ losses), pull_back(slopes * share[:, None])
    error, whiten, slope = answer - y, problem.error_map, torch.cosh(y)
    if whiten is not None:
        error = (error * slope) @ whiten.T
    weighted = error * (weights / error.numel())[:, None]
    gradient = 2 * weighted
    if whiten is not None:
        gradient = (gradient @ whiten) * slope
    return float(torch.sum(weighted * error)), pull_back(gradient)


def validation_loss_of(problem: TrainingProblem) -> float:
    """Return the objective on the validation rows."""
    total = 0.0
    with torch.no_grad():
        for part in zip(*(a.split(1024) for a in problem.validation), strict=True):
            total += loss_of(problem, *part).item() * len(part[0])
    return total / len(problem.validation[0])
