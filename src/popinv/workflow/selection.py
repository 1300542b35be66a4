"""The modules that a study selects: those of its forward model, its law and its noise.

Modules of a kind are imported where they are used, by the name that the configuration gives, so
that a stage depends on the code of its own study alone. The fingerprint of its code
(:mod:`popinv.workflow.fingerprint`) cannot see such an import, so the stage's rule names the parts
that it uses, and this module lists their modules.
"""

from __future__ import annotations

from collections.abc import Callable

from popinv.config.study import Study
from popinv.sections.outside import is_outside, kind_files


def _forward(study: Study) -> tuple[str, ...]:
    kind = study.forward.kind
    return kind_files(kind) if is_outside(kind) else (f"popinv.forward.{kind}.section",)


def _solver(study: Study) -> tuple[str, ...]:
    return (*study.forward.modules(), *study.forward.solver_modules())


def _states(study: Study) -> tuple[str, ...]:
    kind = study.forward.kind
    return (*_solver(study), f"popinv.forward.{kind}.states", f"popinv.figures.gallery.{kind}")


def _law(study: Study) -> tuple[str, ...]:
    return (*_forward(study), *study.law.modules())


def _noise(study: Study) -> tuple[str, ...]:
    return (*_forward(study), *study.noise.modules())


def _true_noise(study: Study) -> tuple[str, ...]:
    return (*_forward(study), *study.true_noise().modules())


def _table(study: Study) -> tuple[str, ...]:
    return ("popinv.observation_files.fit",)


def _surrogate(study: Study) -> tuple[str, ...]:
    if study.surrogate.kind == "network":
        return ("popinv.surrogate.trained_network", "popinv.surrogate.device")
    if study.surrogate.kind == "none":
        return ("popinv.surrogate.exact", *_forward(study))
    return ("popinv.surrogate.gaussian_process.emulator",)


def _choice(study: Study) -> tuple[str, ...]:
    return ("popinv.surrogate.gaussian_process.acquisition",) if study.candidates() else ()


def _training(study: Study) -> tuple[str, ...]:
    if study.surrogate.kind == "gaussian_process":
        return ("popinv.surrogate.gaussian_process.training",)
    if study.surrogate.kind == "none":
        return ("popinv.surrogate.artefact", "popinv.surrogate.exact")
    modules = "artefact", "build", "resumable", "trained_network", "device"
    return tuple(f"popinv.surrogate.{module}" for module in modules)


def _descent(study: Study) -> tuple[str, ...]:
    modules = (
        "inference.build",
        "inference.likelihood.fit_pseudo",
        "inference.likelihood.model_moments",
        "inference.result",
        "surrogate.artefact",
        "surrogate.simulator",
    )
    return tuple(f"popinv.{module}" for module in modules)


def _push(study: Study) -> tuple[str, ...]:
    modules = "inference.build", "inference.likelihood.scores", "surrogate.artefact"
    return tuple(f"popinv.{module}" for module in modules)


USES: dict[str, Callable[[Study], tuple[str, ...]]] = {
    "forward": _forward,
    "solver": _solver,
    "states": _states,
    "law": _law,
    "noise": _noise,
    "true_noise": _true_noise,
    "table": _table,
    "surrogate": _surrogate,
    "choice": _choice,
    "training": _training,
    "descent": _descent,
    "push": _push,
}
"""The parts of a study that a stage can use: the forward model's section, its solver, the
computation and the drawing of its whole states, the law, the noise that is fitted, the noise of a
synthetic truth, the reading of a file of observations, and the surrogate. A round may have nothing
to do and then imports nothing; its parts are the choice of its solves, the training, the estimate,
and the judgement of its surrogate."""


def selected_modules(study: Study, *uses: str) -> tuple[str, ...]:
    """Return the modules that a stage imports because the study names them.

    Parameters
    ----------
    *uses : str
        Keys of :data:`USES`.
    """
    return tuple(dict.fromkeys(module for use in uses for module in USES[use](study)))
