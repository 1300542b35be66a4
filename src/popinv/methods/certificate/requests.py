r"""Removal of records with a certificate.

The guarantee after each request compares two laws of the parameters: the current one, and that of
learning anew without the removed records, from the same start over the same partition for the same
total number of epochs. They differ by a Rényi divergence of order a of at most A a, for all a > 1
in both directions, and hence by (epsilon, delta). Both runs have the same number of epochs, so the
gap of Lemma 3.3 bounds their distance whether or not learning has converged. Theorem 3.11 carries
the gap from one request to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import ConfigError
from popinv.methods import privacy
from popinv.methods.certificate.accountant import Form, Setting
from popinv.methods.certificate.descent import Loss, Model, Noise, Quadratic, run, start
from popinv.methods.certificate.records import Records


@dataclass(frozen=True)
class Goal:
    """The guarantee that every request must reach, in a form of ``accountant``.

    Requests that need more than ``most_epochs`` are refused.
    """

    epsilon: float
    delta: float
    form: Form = "exact"
    most_epochs: int | None = None


@dataclass(frozen=True)
class Removal:
    """A served request.

    It is replaced if other records took the places, which otherwise are empty. The counts are those
    of the removed records in each batch. ``own_gap`` is due to this request alone, and ``gap`` also
    to what is left of earlier ones. The divergence of order a is at most the coefficient times a.
    """

    records: tuple[int, ...]
    replaced: bool
    counts: tuple[int, ...]
    own_gap: float
    gap: float
    epochs: int
    goal: Goal
    coefficient: float
    epsilon: float


@dataclass(frozen=True)
class Holder:
    """A model and everything needed to serve requests; ``left`` is the remaining gap."""

    model: Model
    records: Records
    loss: Loss
    setting: Setting
    noise: Noise
    learnt: int
    left: float = 0.0
    removals: tuple[Removal, ...] = ()

    @property
    def sigma(self) -> float:
        """The noise, as one number."""
        return float(self.noise.sigma)

    @property
    def parameters_sha256(self) -> str:
        """Hash of the parameters, in double precision."""
        content = np.ascontiguousarray(self.model.parameters, dtype="<f8").tobytes()
        return hashlib.sha256(content).hexdigest()


def learn(
    records: Records, loss: Loss, setting: Setting, noise: Noise, epochs: int, runs: int
) -> Holder:
    """Return a model for which requests can be served, of one or more runs with their own noise.

    Raises
    ------
    ConfigError
        If the guarantee does not cover the loss or the noise.
    """
    if isinstance(loss, Quadratic):
        raise ConfigError("gradients of the squared loss have no bound: clip the targets (Linear)")
    if np.ndim(noise.sigma) or not float(noise.sigma) > 0:
        raise ConfigError(
            f"sigma is {noise.sigma}, must be one positive number: the guarantee rests on the noise"
        )
    model = run(start(records, setting, noise, runs), records, loss, setting, noise, epochs)
    return Holder(model, records, loss, setting, noise, epochs)


def relearn(holder: Holder, noise: Noise) -> Model:
    """Return the reference of the guarantee: retraining on the remaining records, other noise."""
    runs = holder.model.parameters.shape[2]
    first = start(holder.records, holder.setting, noise, runs)
    return run(first, holder.records, holder.loss, holder.setting, noise, holder.model.epochs)


def remove(
    holder: Holder,
    records: Sequence[int],
    goal: Goal,
    replacements: tuple[np.ndarray, np.ndarray] | None = None,
    bound: float = 1.0,
) -> Holder:
    """Return the model without some records, removed to the goal in one request.

    The choice of the records, which have numbers from 0, must not depend on the parameters. The
    replacements (s, d) and (s, k) take the places, which otherwise stay empty; the constants assume
    features no longer than ``bound``.

    Raises
    ------
    ConfigError
        If the guarantee does not cover the request: records that do not exist or were removed;
        replacements that are too long or that the constants exclude; more epochs than allowed.
    """
    asked = tuple(int(record) for record in records)
    _check_records(holder, asked)
    if replacements is not None:
        _check_replacements(holder, asked, replacements, bound)
    setting, counts = holder.setting, holder.records.partition.counts(asked)
    own_gap = setting.gap_of(counts)
    gap = min(holder.left + own_gap, setting.widest)
    epochs = setting.epochs_for(goal.epsilon, goal.delta, gap, holder.sigma, goal.form)
    if goal.most_epochs is not None and epochs > goal.most_epochs:
        raise ConfigError(
            f"removing {len(asked)} records to epsilon = {goal.epsilon:g} takes {epochs} epochs, "
            f"at most {goal.most_epochs} are allowed: allow more, a larger epsilon, or learn with "
            "more noise"
        )
    left = holder.records
    for i, record in enumerate(asked):
        if replacements is None:
            left = left.emptied(record)
        else:
            left = left.replaced(record, replacements[0][i], replacements[1][i])
    coefficient = setting.coefficient(gap, holder.sigma, epochs, goal.form)
    served = Removal(
        asked,
        replacements is not None,
        tuple(int(c) for c in counts),
        own_gap,
        gap,
        epochs,
        goal,
        coefficient,
        privacy.epsilon(coefficient, goal.delta),
    )
    return replace(
        holder,
        model=run(holder.model, left, holder.loss, setting, holder.noise, epochs),
        records=left,
        left=setting.shrunk(gap, epochs),
        removals=(*holder.removals, served),
    )


def _check_records(holder: Holder, asked: tuple[int, ...]) -> None:
    n = holder.setting.n
    if not asked or len(set(asked)) != len(asked) or not all(0 <= r < n for r in asked):
        raise ConfigError(
            f"records to remove are {list(asked)}: must be different numbers from 0 to {n - 1}"
        )
    gone = [record for record in asked if not holder.records.filled(record)]
    if gone:
        raise ConfigError(f"records {gone} are not there: removed before, or never filled")


def _check_replacements(
    holder: Holder,
    asked: tuple[int, ...],
    replacements: tuple[np.ndarray, np.ndarray],
    bound: float,
) -> None:
    if holder.setting.emptied:
        raise ConfigError(
            "the constants are for places that stay empty, where gradients differ by M. A "
            "replacement may differ by 2 M: learn with emptied=False"
        )
    d, k = holder.records.shape
    features, targets = replacements
    if features.shape != (len(asked), d) or targets.shape != (len(asked), k):
        raise ConfigError(
            f"replacements have the shapes {features.shape} and {targets.shape}, must have "
            f"{(len(asked), d)} and {(len(asked), k)}"
        )
    longest = float(np.sqrt((features**2).sum(axis=1).max()))
    if not longest <= bound * (1 + 1e-9):
        raise ConfigError(
            f"a replacement has a feature of length {longest:g}, but the guarantee is for at most "
            f"{bound:g}"
        )
