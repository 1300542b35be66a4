"""What jobs of finished studies took: megabytes and seconds, by rule.

They are the largest of all jobs of a rule, on two machines, from the benchmark files; the seconds
are those of the processor. ``popinv
plan`` compares those of another study with what its jobs ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiny_study import ROOT

from popinv.config.loading import as_mapping, load, load_file
from popinv.config.study import Study
from popinv.workflow.resources import Demand

# Processes of Snakemake around a job on a cluster, in megabytes.
_SNAKEMAKE_MB = 3 * 145
# Below these a job may ask for more than five times what it takes.
_FREE_MB, _FREE_MINUTES = 1000, 10


@dataclass(frozen=True)
class Measured:
    """A study, as one of a configuration with some keys changed, and what its jobs took."""

    file: str
    name: str
    jobs: Mapping[str, tuple[float, float]]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def study(self) -> Study:
        """Return the study."""
        config = as_mapping(load_file(ROOT / "config" / self.file))
        for section, changes in self.changes.items():
            config["studies"][self.name][section].update(changes)
        return load(config).studies[self.name]


def assert_fits(
    job: str, asked_mb: float, megabytes: float, minutes: float, seconds: float, asked: Demand
) -> None:
    """Assert that a job asks for enough, and for at most five times as much as it took.

    It may ask for the seconds that the configuration grants besides.
    """
    taken = megabytes + _SNAKEMAKE_MB
    assert taken <= asked_mb <= max(_FREE_MB, 5 * taken), job
    granted = asked.granted_seconds / 60
    assert seconds / 60 <= minutes <= max(_FREE_MINUTES, 5 * seconds / 60) + granted, job


MEASURED = {
    "default": Measured(
        "config.yaml",
        "porous_flow",
        {
            "assess_population": (783, 9.5),
            "collect_solves": (537, 2.0),
            "consult_oracle": (910, 5.4),
            "deconvolve": (746, 11.1),
            "draw_population": (463, 2.1),
            "gather_answer": (550, 1.9),
            "maximise_likelihoods": (921, 15.1),
            "measure_calibration": (539, 6.0),
            "observe_population": (474, 2.0),
            "plot_figures": (610, 12.0),
            "propose_parameters": (464, 2.1),
            "replicate_study": (928, 36.0),
            "run_rounds": (571, 9.5),
            "simulate_observations": (428, 2.0),
            "solve_chunk": (495, 2.4),
            "train_surrogate": (502, 6.6),
            "update_population": (534, 3.0),
        },
        {"evidence": {"calibration": 2}},
    ),
    "evidence": Measured(
        "examples/evidence.yaml",
        "evidence",
        {
            "descend_with_policy": (642, 10.1),
            "fit_error_slope": (427, 3.0),
            "fit_two_stage": (533, 6.0),
            "measure_error.30": (577, 41.4),
            "measure_error.100": (611, 44.2),
            "measure_error.1000": (619, 74.3),
            "measure_error.3000": (659, 133.8),
        },
    ),
    # One evaluation of the likelihood of all systems took 60 s and 690 MB besides.
    "full size": Measured(
        "examples/full_size/porous_flow_1d.yaml",
        "porous_1d_uncorrelated_full",
        {
            "draw_population": (346, 2.3),
            "observe_population": (372, 2.4),
            "solve_chunk": (431, 4.8),
            "update_population": (487, 24.9),
        },
    ),
    # The likelihoods of rough fields go through the solver, for as long as they may.
    "rough field": Measured(
        "examples/efficiency.yaml",
        "rough_flow_noise_01",
        {
            "maximise_likelihoods": (942, 75.1),
            "replicate_study": (893, 850.8),
            "train_surrogate": (487, 8.6),
            "update_population": (535, 3.6),
        },
    ),
    "elastic bar": Measured(
        "examples/warnings.yaml",
        "wrong_noise_family",
        {
            "assess_population": (591, 9.6),
            "consult_oracle": (543, 7.1),
            "deconvolve": (652, 9.0),
            "maximise_likelihoods": (538, 11.3),
            "solve_chunk": (225, 1.8),
            "update_population": (445, 5.0),
        },
    ),
    "100,000 systems": Measured(
        "config.yaml",
        "porous_flow",
        {
            "solve_chunk": (476, 3.4),
            "observe_population": (633, 4.3),
            "train_surrogate": (443, 10.0),
            "deconvolve": (705, 37.0),
            "plot_figures": (681, 7.2),
        },
        {
            "observations": {"count": 100_000},
            "active_learning": {"rounds": 2, "chunk_size": 20_000},
            "descent": {"iterations": 40},
            "assessment": {"null_resamples": 20},
        },
    ),
    "1,000,000 systems": Measured(
        "config.yaml",
        "porous_flow",
        {
            "draw_population": (566, 12.1),
            "propose_parameters": (346, 2.3),
            "solve_chunk": (406, 3.5),
            "collect_solves": (1305, 6.7),
            "observe_population": (1424, 22.7),
            "train_surrogate": (472, 3.4),
            "update_population": (838, 20.4),
        },
        {
            "observations": {"count": 1_000_000},
            "active_learning": {"chunk_size": 50_000},
        },
    ),
    "100,000 systems, 1000 observations": Measured(
        "config.yaml",
        "porous_flow",
        {
            "draw_population": (441, 5.3),
            "propose_parameters": (412, 2.8),
            "solve_chunk": (688, 6.7),
            "collect_solves": (2539, 138.8),
            "observe_population": (2800, 17.1),
            "train_surrogate": (574, 61.7),
            "update_population": (962, 241.8),
            "deconvolve": (2149, 1138.1),
            "gather_answer": (1805, 14.6),
            "assess_population": (2889, 103.9),
            "plot_figures": (7105, 104.1),
        },
        {
            "forward": {"sensors": {"count": 1000, "placement": "random"}},
            "observations": {"count": 100_000},
            "active_learning": {"chunk_size": 20_000},
        },
    ),
}
