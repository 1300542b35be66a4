"""The section of Lorenz-96: its keys, and the model that they describe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from popinv.forward.base import Observations, Parameter
from popinv.forward.section import FLOPS, MOST_STEPS, ForwardCost, MayBeRandom, PackagedSection
from popinv.sections.base import Count, NonNegative, NotBoolean, Positive
from popinv.sections.messages import ConfigProblem, listed

if TYPE_CHECKING:
    import xarray as xr


Observable = Literal[
    "x",
    "x_squared",
    "x_lag_1",
    "x_lag_2",
    "x_lag_3",
    "x_lag_4",
    "y",
    "y_squared",
    "y_lag_1",
    "y_mean_squared",
    "x_y",
    "x_y_lag_1",
]

_PARAMETERS = (
    Parameter("forcing", long_name="forcing F of the slow variables"),
    Parameter("coupling", long_name="strength h of the coupling between the scales"),
    Parameter("time_scale", long_name="ratio c of the slow to the fast time scale"),
    Parameter("space_scale", long_name="ratio b of the slow to the fast amplitude"),
)


@dataclass(frozen=True)
class Product:
    """The observable mean_k(first_k second_{k+lag}).

    The fields have one value for every k: "one", "x" for X_k, and "y", "y_squared" and
    "y_neighbours" for the means over j of Y_jk, Y_jk^2 and Y_jk Y_{j+1,k}.
    """

    first: str
    second: str
    lag: int
    long_name: str


OBSERVABLES = {
    "x": Product("x", "one", 0, "X_k"),
    "x_squared": Product("x", "x", 0, "X_k^2"),
    "x_lag_1": Product("x", "x", 1, "X_k X_{k+1}"),
    "x_lag_2": Product("x", "x", 2, "X_k X_{k+2}"),
    "x_lag_3": Product("x", "x", 3, "X_k X_{k+3}"),
    "x_lag_4": Product("x", "x", 4, "X_k X_{k+4}"),
    "y": Product("y", "one", 0, "Y_jk"),
    "y_squared": Product("y_squared", "one", 0, "Y_jk^2"),
    "y_lag_1": Product("y_neighbours", "one", 0, "Y_jk Y_{j+1,k}"),
    "y_mean_squared": Product("y", "y", 0, "mean_j(Y_jk)^2"),
    "x_y": Product("x", "y", 0, "X_k mean_j(Y_jk)"),
    "x_y_lag_1": Product("x", "y", 1, "X_k mean_j(Y_{j,k+1})"),
}

_ONE_SCALE: list[Observable] = ["x", "x_squared", "x_lag_1", "x_lag_2", "x_lag_3", "x_lag_4"]
_TWO_SCALES: list[Observable] = [
    "x",
    "x_squared",
    "x_lag_1",
    "x_lag_2",
    "y",
    "y_squared",
    "y_lag_1",
    "y_mean_squared",
    "x_y",
]


def _of_scales(one: Any, two: Any) -> Any:
    # An invalid number of scales is reported by itself.
    return lambda values: two if values.get("scales") == 2 else one


class Lorenz96(MayBeRandom, PackagedSection):
    """Lorenz-96: chaotic dynamics on a ring, observed through averages over space and time.

    With one scale there is one parameter, the `forcing`; with two scales there are `forcing`,
    `coupling`, `time_scale` and `space_scale`. Time is in units of the damping time of the slow
    variables. An average over a finite window carries a sampling error. It adds to the noise, or is
    told apart from it with `stochastic: true`.
    """

    kind: Literal["lorenz96"] = Field(description="Lorenz-96, with one scale or two.")
    scales: Annotated[int, Field(ge=1, le=2), NotBoolean] = Field(
        default=1, description="Slow variables alone, or slow and fast ones."
    )
    variables: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=36, description="Slow variables on the ring (K)."
    )
    subvariables: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=10,
        description="Fast variables for each slow one (J), with two scales.",
    )
    time_step: Positive = Field(
        default_factory=_of_scales(0.01, 0.005),
        description="Step of the Runge-Kutta method.",
        json_schema_extra={"x-default": "0.01 with one scale, 0.005 with two"},
    )
    spin_up: NonNegative = Field(
        default=10.0,
        description=(
            "Time before the first window, a whole number of time steps. The influence of the "
            "random initial state decays during this time."
        ),
    )
    window: Positive = Field(
        default=50.0,
        description="Length of the window of an average: a whole number of `sample_every` time "
        "steps.",
    )
    windows: Count = Field(
        default=1,
        description=(
            "Number of successive windows, each with its own averages. Several windows give a time "
            "series for every observable."
        ),
    )
    sample_every: Count = Field(
        default=10, description="Time steps between the samples of an average."
    )
    observables: list[Observable] = Field(
        default_factory=_of_scales(_ONE_SCALE, _TWO_SCALES),
        min_length=1,
        description=(
            "The averaged quantities. Their names are explained below.\n\n"
            "`x` is X_k, `x_squared` is X_k^2, and `x_lag_1` to `x_lag_4` are X_k X_{k+1} to X_k "
            "X_{k+4}. Two scales add `y` (Y_jk), `y_squared`, `y_lag_1` (Y_jk Y_{j+1,k}), "
            "`y_mean_squared` (the square of the mean over j), `x_y` (X_k times this mean) and "
            "`x_y_lag_1` (X_k times the mean at the next place)."
        ),
        json_schema_extra={
            "x-default": "`x`, `x_squared`, `x_lag_1` to `x_lag_4`; with two scales `x`, "
            "`x_squared`, `x_lag_1`, `x_lag_2`, `y`, `y_squared`, `y_lag_1`, `y_mean_squared`, "
            "`x_y`"
        },
    )

    def parameters(self) -> tuple[Parameter, ...]:
        """Return F for one scale, (F, h, c, b) for two."""
        return _PARAMETERS[:1] if self.scales == 1 else _PARAMETERS

    def observed(self, seed: int) -> Observations:
        """Return the observations: averages over space and over each window of time.

        The coordinate ``quantity`` counts the observables. With several windows a second one,
        ``t``, is the middle of the window in time since the end of the spin-up; it runs fastest.
        """
        names, windows = self.observables, self.windows
        quantities = np.arange(len(names), dtype=float)
        if windows == 1:
            coordinate_names: tuple[str, ...] = ("quantity",)
            labels: tuple[str, ...] = tuple(names)
            coordinates = quantities[:, None]
        else:
            coordinate_names = ("quantity", "t")
            times = (np.arange(windows) + 0.5) * self.window
            coordinates = np.column_stack(
                [np.repeat(quantities, windows), np.tile(times, len(names))]
            )
            labels = tuple(f"{name}, window {w + 1}" for name in names for w in range(windows))
        return Observations(
            coordinates=coordinates,
            coordinate_names=coordinate_names,
            name="average",
            long_name="average over space and time",
            labels=labels,
        )

    def cost(self) -> ForwardCost:
        """Return the cost of solving."""
        fast = self.subvariables if self.scales == 2 else 0
        variables = self.variables * (1 + fast)
        observed_time = self.windows * self.window
        duration = self.spin_up + observed_time
        interval = self.sample_every * self.time_step
        # Four stages of about ten operations, and the averages.
        return ForwardCost(
            megabytes=1e-6 * 8 * 64 * variables * 20,
            seconds=60 * variables * duration / self.time_step / FLOPS,
            setup_seconds=120,
            # The fast variables are kept for a short time only.
            state=(self.variables * observed_time + variables * 10) / interval,
        )

    def states(self, seed: int, z: np.ndarray, stage: str, indices: Sequence[int]) -> xr.Dataset:
        """Return the trajectories whose averages are observed."""
        found: xr.Dataset = self.beside("states").states(self, seed, z, stage, indices)
        return found

    def has_sampling_error(self) -> bool:
        """Return True: averages over a finite window depend on the initial state."""
        return True

    def default_law(self) -> dict[str, Any]:
        """Return a normal forcing about 8 with one scale, lognormal parameters with two."""
        if self.scales == 1:
            start = {"forcing": {"mean": 8.0, "standard_deviation": 1.0}}
            return {"kind": "normal", "start": start, "spread": 0.5}
        # log 10, log 1, log 10, log 10: Lorenz's values, each known to a fifth or so.
        means = (2.3, 0.0, 2.3, 2.3)
        each = zip(self.parameter_names(), means, strict=True)
        start = {name: {"mean": m, "standard_deviation": 0.2} for name, m in each}
        return {"kind": "lognormal", "start": start, "spread": 0.2}

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield durations that are no whole number of steps, and observables without use."""
        yield from self._whole("spin_up", self.spin_up, self.time_step, "time steps")
        interval = self.sample_every * self.time_step
        yield from self._whole(
            "window", self.window, interval, "'sample_every' times 'time_step'", fewest=1
        )
        steps = (self.spin_up + self.windows * self.window) / self.time_step
        if steps > MOST_STEPS:
            yield ConfigProblem(
                ("time_step",),
                f"got {self.time_step:g}, with which a system takes {steps:.3g} time steps; at "
                f"most {MOST_STEPS:,} are made. Take a longer step, or less spin-up or windows.",
            )
        for name, times in Counter(self.observables).items():
            if times > 1:
                yield ConfigProblem(
                    ("observables",), f"got '{name}' {times} times; once is enough."
                )
        if self.scales == 1:
            fast = [name for name in self.observables if "y" in name.split("_")]
            if fast:
                yield ConfigProblem(
                    ("observables",),
                    f"got {listed(fast)}, but with one scale there are no fast variables; leave "
                    "them out, or set 'scales: 2'.",
                )
            if not self.is_default("subvariables"):
                yield ConfigProblem(
                    ("subvariables",),
                    f"got {self.subvariables}, but only 'scales: 2' has fast variables, and "
                    "'scales' is 1.",
                )

    def _whole(
        self, key: str, duration: float, unit: float, unit_name: str, fewest: int = 0
    ) -> Iterator[ConfigProblem]:
        count = max(round(duration / unit), fewest)
        if abs(duration - count * unit) > 1e-6 * unit:
            yield ConfigProblem(
                (key,),
                f"got {duration:g}, but it must be a whole number of {unit_name} ({unit:g}), "
                f"such as {count * unit:.10g}.",
            )
