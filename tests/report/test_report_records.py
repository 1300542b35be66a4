"""What the pages are filled with: gathered, judged, and written as people write it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import zipfile
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from answers import TRUE, estimate, told
from small_results import CLAIMS, PIXEL, configuration, numbers_of, studies
from tiers import parameters

from popinv.charts.description import Axis, Grid, Panel, Sheet
from popinv.charts.page_chart import DARK, DATA, MODEL, ORACLE, PAPER, SOLVES, TRUTH
from popinv.charts.saving import save
from popinv.config.loading import as_mapping, load
from popinv.errors import DataError
from popinv.figures.draws import law_draws
from popinv.judgement.answer import DescentArrival, EstimatorChoice, ObservedSizes
from popinv.judgement.judgements import judgements
from popinv.judgement.measures import (
    HeldOutDistance,
    LeastNoise,
    PartTest,
    SimulatorDiscrepancy,
    SurrogateError,
    TruthErrors,
)
from popinv.report.answer_charts import law_charts
from popinv.report.describing import described, in_short, question_of
from popinv.report.folder import found_studies
from popinv.report.formats import duration, inline, measured, number, rounded
from popinv.report.gathering import gather_listed, gather_method, gather_study, pictures_in
from popinv.report.pages import index_page, reproduction
from popinv.report.study_page import influential_systems, page_of
from popinv.report.trust_charts import estimator_chart
from popinv.sections.base import plain
from popinv.store import storage

ROOT = Path(__file__).parents[2]


def test_stages_are_of_the_jobs_that_the_study_has(results):
    study = gather_study(results.tiny / "answer.json", results.section)
    stages = {stage.rule: stage for stage in study.stages}
    assert list(stages) == ["deconvolve", "solve_chunk"]
    solve = stages["solve_chunk"]
    assert (solve.jobs, solve.seconds, solve.longest) == (2, 42.0, 30.0)
    assert (solve.processor_seconds, solve.megabytes) == (21.0, 400.0)
    assert stages["deconvolve"].megabytes is None


def test_hashes_are_those_of_the_stores(results):
    study = gather_study(results.tiny / "answer.json", results.section, results.stores())
    for store in study.stores:
        assert store.sha256 == storage.load(results.tiny / store.path).attrs["content_sha256"]
    assert {(s.path, s.rule) for s in study.stores} == {
        (f"{name}.zarr.zip", f"make_{name}") for name in ("observations", "truth", "population")
    }


def test_only_what_the_study_asks_for_is_told(results):
    assert set(gather_study(results.tiny / "answer.json", results.section).uses) == {"mwgrad"}
    without = gather_study(results.tiny / "answer.json", configuration())
    assert without.uses == {}


def test_what_is_missing_is_named(results, tmp_path):
    with pytest.raises(DataError, match=r"answer\.json: there is no such file"):
        gather_study(tmp_path / "answer.json", results.section)
    (tmp_path / "x.zarr.zip").write_text("{}")
    with pytest.raises(DataError, match=r"x\.zarr\.zip: cannot be read"):
        gather_study(results.tiny / "answer.json", results.section, [tmp_path / "x.zarr.zip"])


def test_the_index_lists_every_study_that_has_results_or_a_page(results, tmp_path):
    folder = tmp_path / "results"
    for name in ("mine", "before"):
        (folder / name).mkdir(parents=True)
        for file in ("answer.json", "metrics.json"):
            shutil.copy(results.tiny / file, folder / name)
    attributes = {"attributes": {"config": json.dumps({"forward": {"kind": "lorenz96"}})}}
    with zipfile.ZipFile(folder / "before/observations.zarr.zip", "w") as archive:
        archive.writestr("zarr.json", json.dumps(attributes))
    (folder / "report/studies").mkdir(parents=True)
    for name in ("before", "deleted"):
        (folder / f"report/studies/{name}.html").touch()
    # Neither is a study.
    for other in ("downstream/mwgrad/metrics.json", "logs"):
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).touch()
    assert found_studies(folder) == ["before", "deleted", "mine"]
    mine = gather_listed(folder, "mine", results.section)
    before, deleted = (gather_listed(folder, name, None) for name in ("before", "deleted"))
    assert (mine.forward, before.forward, deleted.forward) == ("porous_flow", "lorenz96", "")
    assert [listed.current for listed in (mine, before, deleted)] == [True, False, False]
    assert mine.doubts == before.doubts
    assert [judgement.name for judgement in mine.doubts] == ["Surrogate", "Solver"]
    page = index_page([mine, before, deleted], [])
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", page.partition('id="answers"')[0])
    assert [("studies/" in row, "not in this configuration" in row) for row in rows] == [
        (True, False), (True, True), (True, True),
    ]  # fmt: skip
    assert "its results are gone" in rows[2]
    assert "0.05" not in page
    without_page = gather_listed(folder, "mine", None)
    assert 'href="studies/mine.html"' not in index_page([without_page], [])
    with pytest.raises(DataError, match="there is no such file"):
        gather_listed(folder, "unfinished", results.section)


def test_a_method_is_gathered_from_whatever_it_has_left(results, tmp_path):
    method = gather_method(
        "mwgrad", results.folder, {"tiny": results.section, "other": configuration()}
    )
    assert method.title == "Mwgrad"
    assert method.problem is not None
    assert [row.cells["claim"] for row in method.problem.claims] == [
        claim.claim for claim in CLAIMS
    ]
    assert [use.study for use in method.uses] == ["tiny"]
    # One that has only numbers, of which nobody has heard.
    folder = tmp_path / "downstream" / "brand_new"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text('{"score": 1.5}')
    new = gather_method(
        "brand_new", tmp_path, {}, "# A new method\n\nIt *does* `this`.\n\n## More\n"
    )
    assert (new.title, new.about) == ("A new method", "It *does* `this`.")
    assert new.problem is not None
    assert (new.problem.metrics, new.problem.claims, new.problem.pictures) == (
        {"score": 1.5},
        (),
        (),
    )
    assert question_of("brand_new") == ""
    assert question_of("mwgrad") == "Parameters that serve a group of systems at once."


GOOD = replace(
    TRUE,
    estimates=(estimate("law", "mean", 1.0, 0.5, 1.5, 1.2),),
    truth=TruthErrors(0.1, 0.1, 0.1),
    tests=(PartTest("noise", p_value=0.4, tests=9),),
    descent=None,
)
DISTANCE = EstimatorChoice("distance", "the best", "surrogate", True, "likelihood", "they agree")
LIKELIHOOD = replace(DISTANCE, estimator="likelihood")
COLLAPSED = {
    "least_noise": LeastNoise(2e-4, "observation 3"),
    "sizes": ObservedSizes(1000, 2, 2, 2),
}


def inefficient(systems: int) -> dict[str, Any]:
    """Return what an answer has whose standard errors are twice their bound."""
    return {
        "choice": replace(LIKELIHOOD, estimator="pseudo_likelihood"),
        "estimates": (estimate("law", "mean", 1.0, 0.5, 1.5, 1.2, efficiency=2.0),),
        "sizes": replace(GOOD.sizes, systems=systems),
    }


UNSURE = replace(GOOD.weakest, warning="not determined", error=1.5)


@pytest.mark.parametrize(
    ("changed", "doubted"),
    [
        ({}, None),
        ({"heldout": HeldOutDistance(0.1, 0.2, 0.009)}, "Held-out systems"),
        ({"tests": (PartTest("noise", "", "it is correlated (0.4)", 0.01, 9),)}, "Noise"),
        ({"weakest": UNSURE}, "Identifiability"),
        # A hundred such systems would determine what eight do not, unless they never do.
        ({"weakest": UNSURE, "sizes": ObservedSizes(8, 5, 5, 2)}, None),
        ({"weakest": UNSURE, "sizes": ObservedSizes(80, 5, 5, 2)}, "Identifiability"),
        (
            {
                "weakest": UNSURE,
                "sizes": ObservedSizes(8, 5, 5, 2),
                "choice": replace(LIKELIHOOD, undetermined=("a",)),
            },
            "Identifiability",
        ),
        ({"surrogate": SurrogateError(0.01, 0.02, 0.1, 0.25, False)}, "Surrogate"),
        ({"surrogate": SurrogateError(0.01, 0.02, 0.1, 0.25, False, "unused")}, None),
        ({"solves": replace(GOOD.solves, failures=3)}, "Solver"),
        ({"descent": DescentArrival(False, 0.5)}, None),
        ({"choice": replace(LIKELIHOOD, arrived=False)}, "Convergence"),
        ({"choice": replace(LIKELIHOOD, doubt="it is not concave at its end")}, "Maximum"),
        # The descent's own convergence is judged by its remaining distance.
        ({"choice": DISTANCE, "descent": DescentArrival(False, 0.5)}, "Descent"),
        ({"choice": replace(DISTANCE, arrived=False)}, None),
        ({"choice": replace(LIKELIHOOD, agreement_p_value=0.001)}, "Agreement"),
        (inefficient(1000), "Efficiency"),
        (inefficient(50), "Efficiency"),
        (inefficient(49), None),
        (COLLAPSED, "Size of the noise"),
        (COLLAPSED | {"least_noise": LeastNoise(2e-3, "observation 3")}, None),
    ],
)
def test_reasons_for_doubt(changed, doubted):
    judged = judgements(replace(GOOD, **changed))
    assert [j.name for j in judged if j.verdict == "doubt"] == ([doubted] if doubted else [])


def test_collapsed_noise_is_explained():
    def judged(fewest):
        sizes = ObservedSizes(1000, 3, fewest, 2)
        return told(replace(GOOD, **COLLAPSED | {"sizes": sizes}), "Size of the noise")

    without_maximum = judged(2)
    assert without_maximum.finding.startswith(
        "The recovered noise of observation 3 is 0.0002 of the spread"
    )
    assert "2 observations and 2 parameters that vary" in without_maximum.finding
    assert "noise.kind: isotropic" in without_maximum.meaning
    assert "without bound" not in judged(3).finding


def test_noise_that_a_discrepancy_has_taken_is_a_doubt():
    def judged(share):
        least = LeastNoise(0.3, "observation 3", share)
        return [j for j in judgements(replace(GOOD, least_noise=least)) if "noise" in j.name]

    (taken,) = judged(0.01)
    assert (taken.name, taken.verdict) == ("Size of the noise", "doubt")
    assert taken.short == "the discrepancy of each system has taken the noise"
    assert "noise.kind: autoregressive" in taken.meaning
    assert not judged(0.5)
    assert not judged(None)


SEEN = SimulatorDiscrepancy(
    *(("t = 1", "t = 2"), (0.4, 0.0), (0.3, -0.1), (0.5, 0.1), (0.3, -0.1), (0.5, 0.1), "bar"),
    *(0.35, 0.15, 0.85, 0.97, 7.5, {}),
)


@pytest.mark.parametrize(
    ("changed", "verdict", "short"),
    [
        ({}, "neutral", "the simulator errs by up to 0.4 bar (t = 1)"),
        (
            {"confounded": {"decay_median": 5.0, "size_median": 200.0}},
            "doubt",
            "only its prior tells the simulator's error from decay median, size median; with this "
            "prior, the simulator errs by up to 0.4 bar (t = 1)",
        ),
        (
            {"length": 4.0, "length_limit": 1},
            "doubt",
            "the simulator errs by up to 0.4 bar (t = 1); the length of its kernel is at its "
            "largest",
        ),
        ({"length": 0.1, "length_limit": -1}, "doubt", None),
        # Without an error, any length is as good.
        ({"length": 4.0, "length_limit": 1, "values": (0.0, 0.0)}, "good", None),
    ],
)
def test_what_is_confounded_comes_before_a_place(changed, verdict, short):
    if "values" in changed:
        band = {"lower": (-1.0, -1.0), "upper": (1.0, 1.0), "gain": 0.1}
        changed = changed | band | {"joint_lower": (-1.0, -1.0), "joint_upper": (1.0, 1.0)}
    judged = told(replace(GOOD, discrepancy=replace(SEEN, **changed)), "Error of the simulator")
    assert judged.verdict == verdict
    assert short is None or judged.short == short
    assert ("shared: free" in judged.finding) == (verdict == "doubt" and "length" in changed)
    assert judged.finding.startswith("A change of these") == ("confounded" in changed)


def test_efficiency_of_few_systems_is_not_judged():
    judged = told(replace(GOOD, **inefficient(18)), "Efficiency")
    assert (judged.verdict, judged.short) == ("neutral", "not judged: 18 systems are too few")
    assert "by about 17 %" in judged.finding


@pytest.mark.parametrize(
    ("changed", "name", "verdict"),
    [
        ({"tests": (PartTest("noise", "nothing to judge by"),)}, "Noise", "neutral"),
        ({"heldout": HeldOutDistance(0.1, 0.2, float("nan"))}, "Held-out systems", "neutral"),
        ({"heldout": HeldOutDistance(0.1, 0.2, None)}, "Held-out systems", "neutral"),
        ({"surrogate": SurrogateError(float("nan"), 0.1, 0.1, 0.2, True)}, "Surrogate", "doubt"),
    ],
)
def test_what_could_not_be_judged_is_not_called_good(changed, name, verdict):
    judged = told(replace(GOOD, **changed), name)
    assert judged.verdict == verdict
    assert judged.short.startswith("not judged")


@pytest.mark.parametrize(("error", "wide"), [(0.5, False), (1e17, True)])
def test_an_estimate_without_information_does_not_hide_the_others(results, error, wide):
    population = results.study.loaded["population"].copy(deep=True)
    population["estimate_errors"][2, 0] = error * np.sqrt(population["covariance"].values[0, 0])
    chart = estimator_chart(population)
    assert chart is not None
    assert (chart.figure.layout.xaxis.range is not None) == wide
    if wide:
        assert chart.figure.layout.xaxis.range == (-15, 15)
        # The numbers are there all the same.
        (distance,) = [t for t in chart.figure.data if t.name == "distance"]
        assert max(distance.error_x.array) > 1e16


def test_intervals_that_miss_and_a_low_coverage_are_doubtful():
    missing = tuple(estimate("law", f"p{i}", 0.0, -1.0, 1.0, 2.0) for i in range(4))
    coverage = {"coverage_mean": 0.6, "calibration_replications": 40}
    judged = judgements(replace(GOOD, estimates=missing), coverage)
    assert [j.name for j in judged if j.verdict == "doubt"] == ["Against the truth", "Calibration"]
    assert "0 of 4 intervals (of 95 %)" in judged[0].finding


def test_the_configuration_on_the_page_gives_the_same_study(results):
    made = reproduction("tiny", plain(results.section))
    again = as_mapping(load(yaml.safe_load(base64.b64decode(made.encoded))))
    assert again["studies"]["tiny"] == plain(results.section)
    assert made.versions["numpy"] == np.__version__


def test_a_name_that_law_and_noise_share_is_told_with_whose_it_is(results):
    weakest = numbers_of(results.tiny / "metrics.json")["weakest_direction"].split()
    assert "length" in weakest
    assert {before for before, name in pairwise(weakest) if name == "length"} == {"law", "noise"}


def test_a_study_is_described_in_words(results):
    terms = dict(described(results.section))
    assert "Steady flow in a porous medium" in terms["Forward model"]
    assert terms["Parameters of a system"] == "3: mean, mode 1, mode 2."
    assert "200 systems drawn from the truth" in terms["Observations"]
    assert terms["Unknowns of the law"].startswith(
        "*mean*: Mean of the field. *standard deviation*"
    )
    # Places of a user's observations may be hours.
    assert "unit of the places" in terms["Unknowns of the noise"]
    assert "side of the domain" not in terms["Unknowns of the noise"]
    own = terms_of("own_simulator.yaml", "pharmacokinetics")
    assert own["Parameters of a system"] == "3: ka [1/h], clearance [L/h], volume [L]."
    assert own["Unknowns of the law"] == (
        "*Mean* and *standard deviation* of the logarithms of ka, clearance, volume."
    )
    assert "learned from all of its systems; 20 % of them" in own["Observations"]


@pytest.mark.parametrize(
    ("example", "study", "told"),
    [
        ("own_simulator", "pharmacokinetics", "`simulator:solve`"),
        (
            *("own_simulator_executable", "pharmacokinetics_executable"),
            "`config/examples/own_simulator/program.py`",
        ),
        (
            *("own_simulator_umbridge", "pharmacokinetics_umbridge"),
            "`pharmacokinetics`, on a server",
        ),
    ],
)
def test_one_sentence_names_law_noise_and_simulator(example, study, told):
    assert in_short(example_study(f"{example}.yaml", study)) == (
        "a lognormal law of ka, clearance and volume; isotropic noise; the simulator is " + told
    )


def test_many_parameters_are_counted_and_noise_is_named_by_an_adjective():
    study = example_study("warnings.yaml", "not_identifiable")
    assert in_short(study) == (
        "a normal law of forcing; unstructured noise; the simulator is lorenz96"
    )
    study = example_study("porous_flow_1d.yaml", "porous_1d_correlated")
    assert in_short(study).startswith("a matern field law of 21 parameters; kernel noise;")


def test_the_page_begins_with_systems_law_noise_and_simulator(wide):
    assert wide.page.inner_text(".lead") == (
        "60 systems with 6 observations each; a matern field law of mean, mode 1 and mode 2; "
        "kernel noise; the simulator is porous flow. The data are synthetic, and the truth is "
        "known."
    )


def test_a_doubt_is_told_with_what_it_does_to_the_numbers(wide):
    told = wide.page.evaluate("() => all('.doubts li').map((e) => e.textContent)")
    assert len(told) == 2
    assert told[0].startswith("Surrogate: error of")
    assert "it changes the answer by 0.22 standard errors. Nothing is subtracted" in told[0]
    assert told[1].startswith("Solver: 4 of 100 solves failed. Failures that depend on")


def test_the_noise_says_what_its_squares_are_and_of_which_systems(wide):
    told = wide.page.inner_text("#chart-noise-curves figcaption")
    assert "Squares: the covariance of the observations over the 60 systems, minus" in told
    assert "may lie off the line together" in told


def test_the_page_names_the_three_systems_with_most_influence(wide):
    told = wide.page.inner_text("#influential")
    assert re.fullmatch(
        r"Without system \d+, the answer would move by [\d.]+ standard errors; without system \d+, "
        r"by [\d.]+; without system \d+, by [\d.]+ \(to first order\)\. No other system has .*",
        told,
    )


def test_effects_name_the_numbers_that_are_doubtful():
    answer = replace(
        TRUE,
        estimates=(
            estimate("law", "mean_rate", 0.5, 0.4, 0.6, 0.9, efficiency=1.8),
            estimate("law", "size", 0.5, 0.4, 0.6, 0.1),
            estimate("noise", "amplitude", 0.1, 0.09, 0.11, 0.1),
        ),
        choice=replace(TRUE.choice, estimator="distance"),
        descent=DescentArrival(False, 3.0),
    )
    judged = judgements(answer, CALIBRATED)
    effects = {j.name: j.effect for j in judged if j.effect}
    assert set(effects) == {j.name for j in judged if j.verdict == "doubt"}
    assert effects == {
        "Against the truth": "The intervals of mean rate, size do not hold the truth.",
        "Descent": "A parameter may be off by 3 standard errors.",
        "Efficiency": "The intervals are up to 1.80 times as wide as necessary.",
        "Calibration": "The 95 % intervals are too narrow.",
    }


CALIBRATED = {"coverage_mean": 0.7, "calibration_replications": 20}


def test_the_systems_on_which_the_answer_depends_most_have_their_own_names():
    study = studies.vector_study()
    population, names = study.loaded["population"].copy(), [f"well {n}" for n in range(60)]
    # No other system moves the answer as far.
    influence = population["influence"].values.copy()
    influence[[7, 41]] *= [[40.0], [30.0]]
    observations = study.loaded["observations"].assign_coords(system_id=("system", names))
    loaded = {
        "population": population.assign(influence=population["influence"].copy(data=influence)),
        "observations": observations,
    }
    found = influential_systems(loaded)
    assert [name for name, _ in found][:2] == ["well 7", "well 41"]
    assert found[0][1] > found[1][1] > 5 * found[2][1]
    loaded["population"] = population.assign(influence=np.nan * population["influence"])
    assert influential_systems(loaded) == []


def terms_of(example, study):
    return dict(described(example_study(example, study)))


def example_study(example, study):
    config = yaml.safe_load((ROOT / "config/examples" / example).read_text())
    return load(config).studies[study]


def test_figures_are_told_by_their_titles(tmp_path):
    for name, title in (("plain", "Rise of −log p"), ("group", "Groups of systems")):
        body = Grid([Panel(Axis(), Axis(), [])])
        save(Sheet(title, 1.0, 1.0, body), tmp_path / f"{name}.png")
    (tmp_path / "untitled.png").write_bytes(PIXEL)
    (tmp_path / "empty.png").write_bytes(b"")
    captions = {p.name: p.caption for p in pictures_in(tmp_path, "study tiny")}
    assert captions == {
        "empty": "Empty", "group": "Groups of systems", "plain": "Rise of −log p",
        "untitled": "Untitled",
    }  # fmt: skip


PAGES = sorted(
    page
    for folder in ("methods", "papers")
    for page in (ROOT / "docs" / folder).glob("*.md")
    if page.stem != "index"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_method_says_how_to_read_what_it_finds_on_a_study(page, tmp_path):
    method = gather_method(page.stem, tmp_path, {}, page.read_text())
    assert sum(len(paragraph) for paragraph in method.reading) > 100
    assert not [p for p in method.reading if p.startswith(("#", "|", "![")) or "```" in p]


def test_numbers_are_rounded_for_people_and_whole_for_programs():
    assert str(number(0.123456789)) == '<data value="0.123456789">0.1235</data>'
    assert (rounded(-3.0), rounded(None), rounded(float("nan"))) == ("−3", "–", "NaN")
    shown = [str(measured(v, 0.0326)) for v in (0.38381, 2.0, -0.1)]
    assert [text[text.index(">") + 1 : -7] for text in shown] == ["0.384", "2.000", "−0.100"]
    assert shown[0].startswith('<data value="0.38381">')
    # Without an error four digits, and places before the point are never rounded away.
    assert ">0.3838<" in measured(0.38381, None)
    assert ">1234<" in measured(1234.5, 300.0)
    assert str(measured(None, 0.1)) == "–"
    assert str(number("<b>")) == "&lt;b&gt;"
    assert duration(9.97) == "10 s"
    assert [duration(s) for s in (2.31, 61.0, 300.0, 9000.0, None)] == [
        "2.3 s", "61 s", "5.0 min", "2.5 h", "–",
    ]  # fmt: skip
    assert (
        str(inline("a `b<c` **d** [e](https://f)")) == "a <code>b&lt;c</code> <strong>d</strong> e"
    )


@pytest.mark.full
@parameters(
    "make, known",
    [(studies.series_study, False)],
    full=[
        (studies.square_study, True),
        (studies.quantities_study, True),
        (studies.numbers_study, False),
    ],
    ids=lambda value: getattr(value, "__name__", "synthetic" if value else "own_data"),
)
def test_every_kind_of_study_has_a_page(make, known, results):
    study = make() if known else make().without(*studies.ABSENT)
    record = gather_study(results.tiny / "answer.json", results.section)
    page = page_of(record, study.problem, study.loaded)
    charts = re.findall(r'<figure class="chart[^>]*id="chart-([^"]+)"', page)
    assert len(charts) == len(set(charts)) >= 10
    by_default = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert len(re.findall("<figure", by_default)) <= 12
    assert {"fits-worst", "fits-best", "observed-predicted", "residuals"} <= set(charts)
    for text in re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL):
        figure = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert figure["data"]


def test_a_median_is_told_once_by_the_table():
    study = studies.vector_study()
    names = [str(name) for name in study.loaded["check"]["parameter"].values]
    draws = law_draws(study.problem, study.loaded["population"], None, names)
    for chart in law_charts(draws):
        assert "median" not in chart.caption + chart.alternative


def seen_by(colour: str, matrix: np.ndarray) -> np.ndarray:
    """Return a colour in CIE Lab as somebody sees it, by a matrix on linear sRGB."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(matrix @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira and Fernandes (2009), severity 1.
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_are_told_apart_with_any_colour_vision(sight, dark):
    palette = [MODEL, TRUTH, DATA, ORACLE, SOLVES, PAPER]
    colours = [seen_by(DARK[c] if dark else c, SIGHT[sight]) for c in palette]
    closest = min(float(np.linalg.norm(a - b)) for a, b in combinations(colours, 2))
    # About 2 is just noticeable side by side.
    assert closest > 10
