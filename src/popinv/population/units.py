"""Units and descriptions of the parameters of laws and of noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import xarray as xr

from popinv.forward.base import Parameter
from popinv.population.laws.base import Law
from popinv.population.laws.parameters import without_level
from popinv.population.model import Model

_OF = {
    "_mean_increment": "increment of the mean of {} over the component before",
    "_mean": "mean of {}",
    "_standard_deviation": "standard deviation of {}",
    "_scale_coefficient": "coefficient of the logarithm of a standard deviation",
    "_coefficient": "coefficient of a covariate",
    "_correlation": "correlation",
    "_skewness": "skewness of {}",
    "_median": "median of {}",
}
# Summaries that are in the unit of the parameter, whatever its transform.
_OF_VALUES = ("_median", "_quantile_05", "_quantile_25", "_quantile_75", "_quantile_95")


@dataclass(frozen=True)
class Described:
    """The unit of a parameter, "1" if it has none, and its description.

    ``scale`` is "log" or "logit" if it is a number on that scale of the parameter.
    """

    units: str
    long_name: str
    scale: str = ""

    @property
    def in_words(self) -> str:
        """The unit in a table: empty if there is none."""
        return f"{self.scale} scale" if self.scale else self.units if self.units != "1" else ""


def covariate_centres(observations: xr.Dataset) -> dict[str, float]:
    """Return what was subtracted from each covariate: its mean, 0 for a category."""
    if "covariate_centre" not in observations:
        return {}
    centres = observations["covariate_centre"]
    return dict(zip(map(str, centres["covariate_name"].values), centres.values, strict=True))


def law_parameters(
    model: Model, names: tuple[str, ...], centres: Mapping[str, float] | None = None
) -> dict[str, Described]:
    """Return units and descriptions of parameters, or summaries, of the law.

    For a parameter that enters by its logarithm, mean and standard deviation describe the
    logarithm. The mean has a unit such as ``log(L)``, which contains the unit of the parameter. A
    coefficient is a change per unit of its covariate.

    Parameters
    ----------
    names : tuple of str
        As the results have them.
    centres : mapping of str to float, optional
        Values of the covariates to which the means of the parameters belong.
    """
    law, parameters = model.law.law(model.forward), model.forward.parameters()
    transformed = _transformed(law, parameters)
    places = model.forward.observed(0).coordinate_units
    described = {}
    for name in names:
        plain, level = without_level(name, model.law.level_names())
        told = _law_parameter(plain, parameters, transformed, places)
        if level:
            told = replace(told, long_name=f"{told.long_name} at the level {level}")
        at = [
            f"{covariate} = {centres[covariate]:.4g}"
            for parameter, covariate in model.law.effects()
            if centres and plain in (f"{parameter}_mean", f"{parameter}_median")
        ]
        if at:
            told = replace(told, long_name=f"{told.long_name} where {' and '.join(at)}")
        described[name] = told
    return described


def _transformed(law: Law, parameters: tuple[Parameter, ...]) -> dict[str, str]:
    """Return how the law reads each parameter: "none", "log" or "logit"."""
    kinds = [
        "log" if logarithm else each.scale or "none"
        for each, logarithm in zip(law.transforms, law.logarithmic, strict=True)
    ]
    return dict(zip((p.name for p in parameters), kinds, strict=True))


def _law_parameter(
    name: str, parameters: tuple[Parameter, ...], transformed: dict[str, str], places: str
) -> Described:
    owner = _owner(name, parameters)
    if owner is None:
        # An unknown of a random field.
        units = places if name.split("_")[-1] == "length" else "1"
        return Described(units, f"{name.replace('_', ' ')} of the field")
    if name == owner.name:
        # It is the same in all systems, as the mean of a random field is.
        return Described(owner.units, owner.long_name or f"{name} in all systems")
    kind = transformed[owner.name]
    called = owner.name if kind == "none" else f"{kind} {owner.name}"
    ending = next((each for each in _OF if name.endswith(each)), "")
    if name.endswith(_OF_VALUES):
        return Described(owner.units, _told(name, owner.name, ending))
    if ending == "_correlation":
        return Described("1", _correlation(name.removesuffix(ending), parameters))
    text = _told(name, called, ending)
    if ending in ("_mean", "_mean_increment", "_standard_deviation") and kind == "none":
        return Described(owner.units, text)
    if ending in ("_mean", "_mean_increment", "_standard_deviation"):
        units = f"log({owner.units})" if ending == "_mean" and kind == "log" else "1"
        return Described("1" if units == "log(1)" else units, text, kind)
    if ending == "_coefficient":
        covariate = name.removeprefix(f"{owner.name}_").removesuffix(ending)
        unit = owner.units if kind == "none" else "1"
        change = f"change of the mean of {called} with {covariate}"
        return Described(f"{unit} per unit of {covariate}".removeprefix("1 "), change)
    return Described("1", text)


def _correlation(pair: str, parameters: tuple[Parameter, ...]) -> str:
    names = [p.name for p in parameters]
    both = next(((a, b) for a in names for b in names if pair == f"{a}_{b}"), None)
    return "correlation" if both is None else f"correlation of {both[0]} and {both[1]}"


def _told(name: str, called: str, ending: str) -> str:
    return _OF[ending].format(called) if ending else name.replace("_", " ")


def _owner(name: str, parameters: tuple[Parameter, ...]) -> Parameter | None:
    """Return the parameter whose name a name of the law begins with, after a component's."""
    words = f"_{name}_"
    fitting = [p for p in parameters if f"_{p.name}_" in words]
    first = [p for p in fitting if name.startswith(f"{p.name}_")]
    return max(first or fitting, key=lambda p: len(p.name), default=None)


def noise_parameters(model: Model, names: tuple[str, ...]) -> dict[str, Described]:
    """Return units and descriptions of parameters of the noise.

    Parameters
    ----------
    names : tuple of str
        As the results have them.
    """
    observed = model.forward.observed(0)
    return {
        name: Described(model.noise.units(name, observed), f"{name.replace('_', ' ')} of the noise")
        for name in names
    }
