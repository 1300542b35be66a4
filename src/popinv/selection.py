"""Which modules a study selects: those of its forward model, its law, its noise.

Modules of a kind are imported where they are used, by the name that the configuration gives, so
that a stage depends on the code of its own study alone. The fingerprint of its code
(:mod:`popinv.fingerprint`) cannot see such an import, so the stage's rule says what it uses, and
this module which modules that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["USES", "selected_modules"]

Section = Mapping[str, Any]


def _forward(study: Section) -> tuple[str, ...]:
    return (f"popinv.forward.{study['forward']['kind']}.description",)


def _solver(study: Section) -> tuple[str, ...]:
    forward = study["forward"]
    torch = forward.get("derivatives") == "torch"
    differentiated = ("popinv.forward.python.autograd",) if torch else ()
    return (*_forward(study), f"popinv.forward.{forward['kind']}.model", *differentiated)


def _states(study: Section) -> tuple[str, ...]:
    return (*_solver(study), f"popinv.forward.{study['forward']['kind']}.states")


def _law(study: Section) -> tuple[str, ...]:
    laws, law = "popinv.population.laws", study["law"]
    beside = (f"{laws}.lognormal", f"{laws}.product") if law["start"].get("beside") else ()
    return (*_forward(study), f"{laws}.{law['kind']}", *beside)


def _noise_of(section: Section) -> tuple[str, ...]:
    families = "popinv.population.noise"
    if section["kind"] != "blocks":
        return (f"{families}.{section['kind']}",)
    places = section["places"]
    # A kernel over the places goes by its own name.
    kind = places if places in ("isotropic", "diagonal", "full") else "kernel"
    return (f"{families}.blocks", f"{families}.{kind}")


def _noise(study: Section) -> tuple[str, ...]:
    return (*_forward(study), *_noise_of(study["noise"]))


def _true_noise(study: Section) -> tuple[str, ...]:
    truth = study["observations"]["truth"]
    return (*_forward(study), *_noise_of(truth["noise_model"] or study["noise"]))


def _network(study: Section) -> tuple[str, ...]:
    fourier = study["surrogate"]["network"] == "fno"
    return ("popinv.surrogate.fourier_inputs",) if fourier else ()


def _training(study: Section) -> tuple[str, ...]:
    modules = "surrogate.artefact", "surrogate.build", "surrogate.resumable"
    return ("popinv.population.laws.build", *(f"popinv.{module}" for module in modules))


def _descent(study: Section) -> tuple[str, ...]:
    modules = (
        "inference.build",
        "inference.likelihood.fit_pseudo",
        "inference.result",
        "surrogate.artefact",
    )
    return tuple(f"popinv.{module}" for module in modules)


def _push(study: Section) -> tuple[str, ...]:
    modules = "inference.build", "inference.surrogate_push", "surrogate.artefact"
    return tuple(f"popinv.{module}" for module in modules)


USES: dict[str, Callable[[Section], tuple[str, ...]]] = {
    "forward": _forward,
    "solver": _solver,
    "states": _states,
    "law": _law,
    "noise": _noise,
    "true_noise": _true_noise,
    "network": _network,
    "training": _training,
    "descent": _descent,
    "push": _push,
}
"""What a stage can use of a study: what its forward model is asked and answers, how that solves and
shows whole states, the law, the noise that is fitted, the noise of a synthetic truth, the
surrogate's network, and, where a round may have nothing to do and then imports nothing, training,
the estimate of a round, and the judgement of its surrogate."""


def selected_modules(study: Section, *uses: str) -> tuple[str, ...]:
    """Return the modules that a stage imports because the study names them.

    Parameters
    ----------
    study : mapping
        A study of the checked configuration.
    *uses : str
        Keys of :data:`USES`.

    Examples
    --------
    >>> selected_modules({"forward": {"kind": "lorenz96"}}, "forward")
    ('popinv.forward.lorenz96.description',)
    """
    return tuple(dict.fromkeys(module for use in uses for module in USES[use](study)))
