"""Train the surrogate on all solves so far; a network starts from its last weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.forward.external.section import LocalSimulator
from popinv.surrogate.section import SurrogateSettings

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection
    from popinv.store.checkpoints import Checkpoint
    from popinv.surrogate.simulator import TrainedSurrogate


def train_surrogate(
    forward: ForwardSection,
    law: LawSection,
    surrogate: SurrogateSettings,
    solves: xr.Dataset,
    previous_surrogate: xr.Dataset | None = None,
    previous_estimate: xr.Dataset | None = None,
    *,
    seed: int,
    round_number: int,
    recency_decay: float,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """Return the surrogate of a round.

    Parameters
    ----------
    forward, law : ForwardSection, LawSection
    solves : Dataset
        All solves so far. If they mark the last surrogate as good enough, that surrogate is
        returned.
    previous_surrogate, previous_estimate : Dataset, optional
        From the last round; the first round has none.
    seed, round_number : int
        The study's seed, and the number of the round.
    recency_decay : float
        Weight of a round's solves relative to the next round's.
    device : {"cpu", "auto", "cuda"}
    checkpoint : Checkpoint, optional
        An interrupted training of a network goes on from there. The caller clears it when the
        result is stored. The fit of a Gaussian process is short and starts afresh.

    Returns
    -------
    Dataset
        As :mod:`popinv.surrogate.artefact` writes it: a network's weights, standardisation and
        history, a Gaussian process' solves and hyperparameters, or the section of the function that
        needs no surrogate.
    """
    if solves.attrs["converged"] and previous_surrogate is not None:
        print("the last surrogate is good enough and is kept")
        return previous_surrogate.assign_attrs(converged=1)
    logarithmic = (*law.law(forward).logarithmic, *(False for _ in forward.design()))
    # These are imported here: a stage that returns the last surrogate needs no tensor library, and
    # a study depends only on its own kind of surrogate.
    if surrogate.kind == "gaussian_process":
        from popinv.surrogate.gaussian_process.training import train_process

        return train_process(surrogate, solves, previous_estimate, seed, round_number, logarithmic)
    from popinv.surrogate.artefact import surrogate_dataset, surrogate_of

    if surrogate.kind == "none":
        from popinv.surrogate.exact import of_section

        assert isinstance(forward, LocalSimulator)  # the configuration is checked
        print("the simulator itself takes the place of a surrogate")
        return surrogate_dataset(of_section(forward), {}, {"converged": 0})
    from popinv.surrogate.build import training_data, training_settings
    from popinv.surrogate.training import train_resumably

    data = training_data(solves, round_number, recency_decay, forward.is_random())
    summary = None
    if (timed := forward.timed_inputs()) is not None:
        from popinv.forward.inputs.summary import InputsSummary
        from popinv.surrogate.summarised import Summarised, summarised_data

        summary = InputsSummary(timed.shape(), timed.summary)
        data = summarised_data(data, summary)
        logarithmic = (*logarithmic[: -summary.replaced], *[False] * summary.width)
    training = training_settings(
        surrogate,
        forward,
        seed,
        round_number,
        previous_estimate,
        logarithmic,
        device,
    )
    initial = None
    # Weights that have learned random answers of a broad design are a poor start: each round of a
    # random simulator trains afresh.
    if previous_surrogate is not None and not training.random:
        initial = surrogate_of(previous_surrogate)
    if summary is not None and initial is not None:
        initial = initial.inner
    trained, history = train_resumably(data, training, checkpoint, initial)
    print(f"{len(data.z)} solves, validation loss {min(history['validation_loss']):.3g}")
    made: TrainedSurrogate = trained
    if training.random:
        from popinv.surrogate.mean_and_factor import MeanAndFactor

        made = MeanAndFactor.of_training(trained, data.z)
    elif summary is not None:
        made = Summarised(trained, summary)
    return surrogate_dataset(made, history, {"converged": 0})
