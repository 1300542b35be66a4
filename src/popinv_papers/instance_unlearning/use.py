"""The use on a study: its answer forgets systems, and its surrogate solves, that withdraw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.forward.datasets import parameter_coordinate
from popinv.inference.answer.result import parameters_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.settings import DescentSettings
from popinv.methods.invariants import Invariant
from popinv.methods.outcome import Outcome, StudyInput
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_data, training_settings
from popinv.threads import fixed_threads
from popinv_papers.instance_unlearning.difficulty import rank_correlation
from popinv_papers.instance_unlearning.figures import draw_systems
from popinv_papers.instance_unlearning.solves import (
    SolveWithdrawal,
    nothing_withdrawn,
    withdraw_solves,
)
from popinv_papers.instance_unlearning.withdrawal import (
    Losses,
    WithdrawalEffect,
    candidates,
    curvature_of,
    linear_steps,
    system_losses,
    usual_distance,
    whole_descent,
    withdraw,
)

if TYPE_CHECKING:
    from popinv_papers.instance_unlearning.method import InstanceUnlearning

_EASE = ("easiest", "middling", "hardest")


def forget_systems(
    problem: Problem,
    settings: DescentSettings,
    start: tuple[np.ndarray, np.ndarray],
    asked: InstanceUnlearning,
) -> tuple[xr.Dataset, dict[str, Any], Invariant]:
    """Rank the observed systems by loss, and withdraw a few from the easiest to the hardest.

    The stage of the problem addresses the draws. Settings and start are from the study's descent;
    here steps are Gauss-Newton's and see all systems.

    Returns
    -------
    Dataset
        Losses by system; of the withdrawn ones the divergence along fine-tuning, and law and noise
        with all systems, after fine-tuning, and after descending again without the system.
    dict
        The same in short.
    Invariant
        That nothing moves where no system is left out.
    """
    settings = settings.replace(optimiser="gauss_newton", batch_size=None)
    with fixed_threads():
        descent = whole_descent(problem, settings, start)
        curvature = curvature_of(problem, settings, descent)
        systems = candidates(problem, asked.systems)
        losses = system_losses(problem, settings, descent, curvature, systems, asked)
        ranks = np.linspace(0, len(systems) - 1, min(asked.withdrawn, len(systems)))
        chosen = np.argsort(losses.loss, kind="stable")[np.unique(ranks.round().astype(int))]
        gone = systems[chosen].tolist()
        withdrawals, invariant = withdraw(
            problem, settings, start, descent, curvature, losses.noise, gone, asked
        )
    expected = linear_steps(losses.loss, asked.epsilon, asked.rate)
    whole = np.concatenate([descent.alpha, descent.gamma])
    result = _dataset(problem, whole, losses, expected, withdrawals, asked.epsilon)
    distance = result["distance"].values
    metrics = _metrics(distance, settings, whole, losses, expected, chosen, withdrawals, asked)
    return result, metrics, invariant


def _metrics(
    distance: np.ndarray,
    settings: DescentSettings,
    whole: np.ndarray,
    losses: Losses,
    expected: np.ndarray,
    chosen: np.ndarray,
    withdrawals: list[WithdrawalEffect],
    asked: InstanceUnlearning,
) -> dict[str, Any]:
    by_system: dict[str, float] = {}
    for row, one in zip(chosen, withdrawals, strict=True):
        name = f"system_{one.system}"
        by_system |= {
            f"{name}_loss": float(losses.loss[row]),
            f"{name}_steps_expected": int(expected[row]),
            f"{name}_steps": one.steps,
            f"{name}_reached": one.reached,
            f"{name}_divergence_before": float(one.divergence[0]),
            f"{name}_divergence_after": float(one.divergence[-1]),
            f"{name}_divergence_floor": float(one.floor[-1]),
            f"{name}_change": _change(one.rerun - whole, losses.standard_error),
            f"{name}_change_left": _change(one.rerun - one.forgotten, losses.standard_error),
        }
    before = np.array([one.divergence[0] for one in withdrawals])
    last, row = withdrawals[-1], chosen[-1]
    moved = by_system[f"system_{last.system}_change"]
    return {
        "systems": len(losses.systems),
        "loss_median": float(np.median(losses.loss)),
        "loss_uncertainty": losses.uncertainty,
        "losses_beyond_uncertainty": int((losses.loss > 2 * losses.uncertainty).sum()),
        "loss_largest": float(losses.loss.max()),
        "hardest_system": int(losses.systems[losses.loss.argmax()]),
        "easiest_system": int(losses.systems[losses.loss.argmin()]),
        "loss_correlation_distance": rank_correlation(losses.loss, distance),
        "steps_expected_median": float(np.median(expected)),
        "rerun_steps": settings.iterations,
        **by_system,
        "withdrawn": len(withdrawals),
        "withdrawn_steps_above_expected": sum(
            one.steps > expected[row] for row, one in zip(chosen, withdrawals, strict=True)
        ),
        "withdrawn_loss_correlation_divergence": rank_correlation(losses.loss[chosen], before),
        "statement": f"system {last.system} is the hardest to forget of {len(losses.systems)}: "
        f"leaving it out moves law or noise by {moved:.2g} of a standard error, "
        f"{_done(last, asked)} (expected: at most {int(expected[row])} steps); descending again "
        f"takes {settings.iterations}",
    }


def _change(moved: np.ndarray, standard_error: np.ndarray) -> float:
    """Return the largest change in standard errors, of the parameters that have one."""
    known = standard_error > 0
    return float(np.max(np.abs(moved[known]) / standard_error[known], initial=0.0))


def _done(one: WithdrawalEffect, asked: InstanceUnlearning) -> str:
    """Return in words how long forgetting took, as far as the draws show it."""
    if not one.reached:
        return f"which {asked.steps} steps of fine-tuning do not forget"
    if one.steps:
        return f"which {one.steps} steps of fine-tuning forget"
    return "which is too little for an answer to show"


def _dataset(
    problem: Problem,
    whole: np.ndarray,
    losses: Losses,
    expected: np.ndarray,
    withdrawals: list[WithdrawalEffect],
    epsilon: float,
) -> xr.Dataset:
    natural = problem.natural
    names = [*problem.law.names, *(f"noise {name}" for name in problem.noise.names)]
    systems, steps, fitted = "withdrawn", ("withdrawn", "step"), ("withdrawn", "fitted")
    distance = usual_distance(np.asarray(problem.data), losses.systems)
    return xr.Dataset(
        {
            "loss": variable("candidate", losses.loss, "Renyi divergence of leaving a system out"),
            "steps_expected": variable("candidate", expected, "fine-tuning steps that suffice"),
            "distance": variable("candidate", distance, "Mahalanobis distance"),
            "divergence": variable(
                steps,
                [one.divergence for one in withdrawals],
                "divergence from the rerun along fine-tuning",
            ),
            "floor": variable(
                steps,
                [one.floor for one in withdrawals],
                "what the draws make of the divergence where nothing is left to forget",
            ),
            "steps": variable(systems, [one.steps for one in withdrawals], "steps until forgotten"),
            "standard_error": variable(
                "fitted", losses.standard_error, "standard error, of the unconstrained parameter"
            ),
            "with_all": variable("fitted", natural(whole), "law and noise with all systems"),
            "forgotten": variable(
                fitted,
                [natural(one.forgotten) for one in withdrawals],
                "law and noise after fine-tuning",
            ),
            "rerun": variable(
                fitted,
                [natural(one.rerun) for one in withdrawals],
                "law and noise of a new descent",
            ),
        },
        coords={
            "candidate": variable("candidate", losses.systems, "number of the system"),
            systems: variable(systems, [one.system for one in withdrawals], "number of the system"),
            **parameter_coordinate(names, "fitted", "parameter of law or noise"),
        },
        attrs={"loss_uncertainty": losses.uncertainty, "epsilon": epsilon},
    )


def solves_metrics(
    withdrawals: list[SolveWithdrawal], losses: np.ndarray, spread: float, epochs: int
) -> dict[str, Any]:
    """Return what became of withdrawn solves, flat; see :func:`solves.withdraw_solves`."""
    by_ease: dict[str, float] = {}
    for ease, one in zip(_EASE, withdrawals, strict=True):
        by_ease |= {
            f"solves_{ease}_error": one.trained,
            f"solves_{ease}_error_rerun": one.rerun,
            f"solves_{ease}_error_forgotten": float(one.error[-1]),
            f"solves_{ease}_epochs": one.epochs,
            f"solves_{ease}_reached": one.reached,
            f"solves_{ease}_told": _told(one, spread),
        }
    hardest = withdrawals[-1]
    known = "can be distinguished" if _told(hardest, spread) else "cannot be distinguished"
    return {
        "solves": len(losses),
        "solves_loss_largest_over_median": float(losses.max() / np.median(losses)),
        "solves_rerun_epochs": epochs,
        "solves_spread": spread,
        **by_ease,
        "solves_statement": f"of the solves, the {len(hardest.rows)} hardest {known}: the "
        f"surrogate's error on them is {hardest.trained:.3g} with them and {hardest.rerun:.3g} "
        f"trained without (trainings differ by {spread:.0%}); fine-tuning without them takes "
        f"{hardest.epochs} epochs, training anew {epochs}",
    }


def _told(one: SolveWithdrawal, spread: float) -> bool:
    """Return whether the error rises by two standard deviations of a difference of trainings."""
    return bool(np.log(one.rerun / one.trained) > 2 * 2**0.5 * spread)


def use(study: StudyInput) -> Outcome:
    """Leave out systems, and solves if requested, by fine-tuning and by a new fit."""
    asked, stores, network = study.asked, study.stores, study.surrogate
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "instance_unlearning"
    ).at_all_places
    start = parameters_of(stores["estimate"])
    result, metrics, invariant = forget_systems(problem, study.descent, start, asked)
    invariants = [invariant]
    print(metrics["statement"])
    if asked.solves:
        solves = stores["solves"]
        number = int(solves["round"].values.max())
        logarithmic = problem.law.logarithmic
        settings = training_settings(
            network, study.forward, study.seed, number, stores["descent"], logarithmic
        )
        settings = settings.replace(
            stage="forget_solves/train", learning_rate=network.learning_rate
        )
        data = training_data(solves, number, study.recency_decay)
        with fixed_threads():
            invariants.append(nothing_withdrawn(data, settings))
            withdrawals, losses, spread = withdraw_solves(
                data, settings, network.refit_learning_rate, asked.solves
            )
        metrics |= solves_metrics(withdrawals, losses, spread, settings.max_epochs)
        print(metrics["solves_statement"])
    return Outcome(
        metrics=metrics,
        figures={"systems": draw_systems(result)},
        result=result,
        invariants=invariants,
    )
