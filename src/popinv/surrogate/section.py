"""Settings of the surrogate: the section ``surrogate`` of a study."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from popinv.sections.base import Count, CountOrZero, NotBoolean, Positive, Section

# By kind, the modules and packages of this folder that only a study with this kind runs. The stages
# and popinv.surrogate.artefact import them on use.
_OF_KIND = {
    "network": (
        "build",
        "device",
        "mean_and_factor",
        "summarised",
        "trained_network",
        "training",
    ),
    "gaussian_process": ("gaussian_process",),
    "none": ("differences", "exact"),
}


class ProcessSettings(Section):
    """The kind of surrogate, and the covariance of a Gaussian process."""

    kind: Literal["network", "gaussian_process", "none"] = Field(
        default="network",
        description=(
            "`network`: a neural network, for thousands of solves. `gaussian_process`: for an "
            "expensive simulator with few parameters. `none`: the simulator itself.\n\n"
            "`gaussian_process` is for at most some hundred solves. Its own error is part of the "
            "answer's uncertainty. `none` needs a Python function of torch (`forward.derivatives: "
            "torch`) that takes microseconds; `popinv try` measures the time. With "
            "`forward.inputs`, differences also serve functions of NumPy and programs."
        ),
    )
    covariance: Literal["auto", "matern", "squared_exponential"] = Field(
        default="auto",
        description=(
            "Covariance function (`gaussian_process`), with a length scale for each input. `auto` "
            "takes the one with the larger marginal likelihood.\n\n"
            "`matern` has smoothness 5/2. `squared_exponential` is for very smooth simulators."
        ),
    )
    restarts: CountOrZero = Field(
        default=1,
        description="Further random starts of the search for the largest marginal likelihood "
        "(`gaussian_process`).",
    )
    candidates: Annotated[int, Field(ge=0, le=2000), NotBoolean] = Field(
        default=500,
        description=(
            "Draws from the current population (`gaussian_process`). A later round solves the "
            "draws with the most uncertain surrogate. 0 solves plain draws."
        ),
    )


class NetworkSettings(Section):
    """The architecture of the network."""

    width: Count = Field(default=128, description="Width of the hidden layers.")
    depth: Count = Field(default=3, description="Hidden layers.")


class TrainingLimits(Section):
    """The length of a training, its steps, and its validation."""

    max_epochs: Count = Field(
        default=200, description="Largest number of passes over the training set in a round."
    )
    patience: Count = Field(
        default=100,
        description="Passes without improvement on the validation set before training stops.",
    )
    learning_rate: Positive = Field(default=5e-3, description="First learning rate of Adam.")
    batch_size: Count = Field(default=64, description="Training samples per step.")
    validation_fraction: Annotated[float, Field(ge=0, lt=1), NotBoolean] = Field(
        default=0.1,
        description="Share of the solves kept for validation. With 0, the training set validates.",
    )


class SurrogateSettings(TrainingLimits, NetworkSettings, ProcessSettings):
    """The surrogate that stands in for the forward model."""

    refit_learning_rate: Positive = Field(
        default=1e-3,
        description=(
            "First learning rate in later rounds, which start from the last weights. Larger steps "
            "would destroy the weights."
        ),
    )

    def modules_of_others(self) -> tuple[str, ...]:
        """Return the modules of the other kinds, which a study of this kind never imports."""
        package = __name__.rpartition(".")[0]
        others = (names for kind, names in _OF_KIND.items() if kind != self.kind)
        return tuple(f"{package}.{name}" for names in others for name in names)
