"""The section of Lorenz-96."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from popinv.config.base import Count, NonNegative, NotBoolean, Positive
from popinv.config.forward.base import ForwardSection
from popinv.config.messages import Problem, listed

__all__ = ["Lorenz96"]

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

_SUBVARIABLES = 10
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


class Lorenz96(ForwardSection):
    """Lorenz-96: chaotic dynamics on a ring, observed through averages over space and time.

    With one scale there is one parameter, the `forcing`; with two scales there are `forcing`,
    `coupling`, `time_scale` and `space_scale`. Time is in units of the damping time of the slow
    variables. An average over a finite window carries a sampling error, which adds to the noise.
    """

    kind: Literal["lorenz96"] = Field(description="Lorenz-96, with one scale or two.")
    scales: Annotated[int, Field(ge=1, le=2), NotBoolean] = Field(
        default=1, description="Slow variables alone, or slow and fast ones."
    )
    variables: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=36, description="Slow variables on the ring (K)."
    )
    subvariables: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=_SUBVARIABLES,
        description="Fast variables for each slow one (J); with two scales.",
    )
    time_step: Positive = Field(
        default_factory=_of_scales(0.01, 0.005),
        description="Step of the Runge-Kutta method.",
        json_schema_extra={"x-default": "0.01 with one scale, 0.005 with two"},
    )
    spin_up: NonNegative = Field(
        default=10.0,
        description="Time before the first window, in which the random initial state is forgotten; "
        "a whole number of time steps.",
    )
    window: Positive = Field(
        default=50.0,
        description="Time that an average is taken over; a whole number of `sample_every` time "
        "steps.",
    )
    windows: Count = Field(
        default=1,
        description="Successive windows, each with its own averages: a time series for every "
        "observable if there are several.",
    )
    sample_every: Count = Field(
        default=10, description="Time steps between the samples that an average is made of."
    )
    observables: list[Observable] = Field(
        default_factory=_of_scales(_ONE_SCALE, _TWO_SCALES),
        min_length=1,
        description="What is averaged: `x` (X_k), `x_squared`, `x_lag_1` to `x_lag_4` "
        "(X_k X_{k+1} and so on); with two scales also `y` (Y_jk), `y_squared`, `y_lag_1` "
        "(Y_jk Y_{j+1,k}), `y_mean_squared` (the square of the mean over j), `x_y` (X_k times "
        "that mean) and `x_y_lag_1` (X_k times that of the next place).",
        json_schema_extra={
            "x-default": "`x`, `x_squared`, `x_lag_1` to `x_lag_4`; with two scales `x`, "
            "`x_squared`, `x_lag_1`, `x_lag_2`, `y`, `y_squared`, `y_lag_1`, `y_mean_squared`, "
            "`x_y`"
        },
    )

    def parameter_names(self) -> tuple[str, ...]:
        """Return the forcing, and with two scales the coupling and the ratios of the scales."""
        names = ("forcing", "coupling", "time_scale", "space_scale")
        return names[:1] if self.scales == 1 else names

    def observation_count(self) -> int:
        """Return the number of averages."""
        return len(self.observables) * self.windows

    def time_count(self) -> int | None:
        """Return the number of windows, None if there is one."""
        return self.windows if self.windows > 1 else None

    def has_sampling_error(self) -> bool:
        """Return True: averages over a finite window depend on the initial state."""
        return True

    def default_law(self) -> dict[str, Any]:
        """Return a normal forcing about 8 with one scale, lognormal parameters with two."""
        if self.scales == 1:
            start = {"forcing": {"mean": 8.0, "standard_deviation": 1.0}}
            return {"kind": "normal", "start": start, "spread": 0.5}
        # log 10, log 1, log 10, log 10: Lorenz's values, each known to a fifth or so.
        means = {"forcing": 2.3, "coupling": 0.0, "time_scale": 2.3, "space_scale": 2.3}
        start = {name: {"mean": m, "standard_deviation": 0.2} for name, m in means.items()}
        return {"kind": "lognormal", "start": start, "spread": 0.2}

    def problems(self) -> Iterator[Problem]:
        """Yield durations that are no whole number of steps, and observables without use."""
        yield from self._whole("spin_up", self.spin_up, self.time_step, "time steps")
        interval = self.sample_every * self.time_step
        yield from self._whole(
            "window", self.window, interval, "'sample_every' times 'time_step'", fewest=1
        )
        for name, times in Counter(self.observables).items():
            if times > 1:
                yield Problem(("observables",), f"got '{name}' {times} times; once is enough.")
        if self.scales == 1:
            fast = [name for name in self.observables if "y" in name.split("_")]
            if fast:
                yield Problem(
                    ("observables",),
                    f"got {listed(fast)}, but with one scale there are no fast variables; leave "
                    "them out, or set 'scales: 2'.",
                )
            if self.subvariables != _SUBVARIABLES:
                yield Problem(
                    ("subvariables",),
                    f"got {self.subvariables}, but only 'scales: 2' has fast variables, and "
                    "'scales' is 1.",
                )

    def _whole(
        self, key: str, duration: float, unit: float, what: str, fewest: int = 0
    ) -> Iterator[Problem]:
        count = max(round(duration / unit), fewest)
        if abs(duration - count * unit) > 1e-6 * unit:
            yield Problem(
                (key,),
                f"got {duration:g}, but it must be a whole number of {what} ({unit:g}), such as "
                f"{count * unit:.10g}.",
            )
