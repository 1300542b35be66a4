"""Tables of uses on studies, and what follows from them.

The studies are those of ``config/examples/uses.yaml``: the default study over five seeds, and some
others. A lead or a bound is judged by the 95 % interval over seeds, as the claims of papers are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from popinv_papers.birch.candidates import candidates
from popinv_papers.kit.claims import Range, above, below, measured, status_of
from tables.cells import interval, mean_of, number, ratio_of, span, table
from tables.kept import Numbers, told_of, uses

__all__ = ["TABLES"]

DEFAULT = "porous_flow"
# Seeds that a verdict needs.
_FEWEST = 5
_STATUS = {
    "holds": "this holds",
    "does not hold": "this does not hold",
    "undecided": "undecided, more seeds would tell",
}


def _seeds(method: str, start: str = DEFAULT) -> list[Numbers]:
    """Return the numbers of a method on a study over its seeds."""
    found = uses(method)
    return [found[name] for name in sorted(found) if re.fullmatch(rf"{start}(_\d+)?", name)]


def _values(several: Sequence[Numbers], name: str) -> np.ndarray:
    return np.array([float(one.metrics[name]) for one in several])


def _verdict(words: str, values: np.ndarray, criterion: Range) -> str:
    """Return a finding: what is asked, the mean over seeds with its interval, and the status.

    Fewer than five seeds decide nothing.
    """
    if len(values) < _FEWEST:
        few = f"undecided, since {len(values)} of {_FEWEST} seeds have been measured"
        return f"- {words}: {span(values, 3)}, {criterion}; {few}."
    found = measured(values)
    status, _ = status_of(found, criterion)
    return f"- {words}: {interval(found, 3)}, {criterion}; {_STATUS[status]}."


def _found(several: Sequence[Numbers], *findings: str) -> Iterator[str]:
    yield ""
    if findings:
        yield from (*findings, "")
    yield told_of(several)


# --- influence ------------------------------------------------------------------------------------


def influence_selection() -> Iterator[str]:
    """Yield the errors of the first surrogate after it is trained further."""
    seeds = _seeds("influence")
    one = seeds[0].metrics
    part, whole = one["selected"], one["pool"]
    ways = {
        "before": "nothing",
        "all": f"all {whole:,}, weighed alike",
        "all_as_weighed": f"all {whole:,}, later rounds weighing more, as the study trains",
        "target": f"the {one['target']} fresh solves of the target themselves",
        "random": f"{part} of {whole:,} solves, random",
        "selected": f"{part} by exact scores",
        "landmarks": f"{part} by landmarks ({one['landmarks']})",
    }
    error = {way: _values(seeds, f"error_{way}") for way in (*ways, "last_surrogate")}
    rows = [[words, mean_of(error[way])] for way, words in ways.items()]
    rows.append(["(the study's last surrogate)", mean_of(error["last_surrogate"])])
    yield from table(["first surrogate trained further on", "error (sd of the noise)"], rows)
    gains = {way: error[way] - error["selected"] for way in ("random", "all", "all_as_weighed")}
    yield from _found(
        seeds,
        _verdict("error by random solves less that by selected ones", gains["random"], above()),
        _verdict("error by all solves alike less that by selected ones", gains["all"], above()),
        _verdict(
            "error by all solves, as the study weighs them, less that by selected ones",
            gains["all_as_weighed"],
            above(),
        ),
    )


def influence_candidates() -> Iterator[str]:
    """Yield the errors of the answer by order and number of candidates."""
    seeds = _seeds("influence")
    start, end = "answer_error_random_", "_candidates"
    counts = sorted(
        int(name.removeprefix(start).removesuffix(end))
        for name in seeds[0].metrics
        if name.startswith(start) and name.endswith(end)
    )
    error = {
        (order, count): _values(seeds, f"answer_error_{order}_{count}_candidates")
        for order in ("influence", "random")
        for count in counts
    }
    rows = [
        [
            f"{count:,}",
            *(ratio_of(error[order, count]) for order in ("influence", "random")),
            ratio_of(error["influence", count] / error["random", count]),
        ]
        for count in counts
    ]
    heads = ["candidates", "in the order of influence", "in random order", "ratio"]
    yield from table(heads, rows)
    ratio = np.log(error["influence", counts[-2]] / error["random", counts[-2]])
    yield from _found(
        seeds,
        f"- Without any candidate: {ratio_of(_values(seeds, 'answer_error_without_candidates'))} "
        "standard errors.",
        _verdict(
            f"logarithm of the ratio at {counts[-2]} candidates, below zero if the order helps",
            ratio,
            below(0.0),
        ),
    )


# --- instance unlearning --------------------------------------------------------------------------


def instance_systems() -> Iterator[str]:
    """Yield what forgetting the easiest, the middling and the hardest system takes."""
    seeds = _seeds("instance_unlearning")
    rows = []
    for one in seeds:
        m = one.metrics
        systems = [int(n[7:-5]) for n in m if re.fullmatch(r"system_\d+_loss", n)]
        for system in sorted(systems, key=lambda n: m[f"system_{n}_loss"]):
            name = f"system_{system}"
            steps = number(m[f"{name}_steps"])
            rows.append(
                [
                    str(system),
                    number(m[f"{name}_loss"]),
                    number(m[f"{name}_change"]),
                    number(m[f"{name}_divergence_before"]),
                    number(m[f"{name}_steps_expected"]),
                    steps if m[f"{name}_reached"] else "not forgotten",
                    f"{number(m[f'{name}_divergence_after'])} "
                    f"({number(m[f'{name}_divergence_floor'])})",
                    number(m[f"{name}_change_left"]),
                ]
            )
    heads = [
        *("system", "loss", "change, standard errors", "divergence before"),
        *("steps expected", "steps", "divergence after (floor)", "change left"),
    ]
    yield from table(heads, rows)
    count = sum(int(one.metrics["withdrawn"]) for one in seeds)
    late = sum(int(one.metrics["withdrawn_steps_above_expected"]) for one in seeds)
    order = [one.metrics["withdrawn_loss_correlation_divergence"] for one in seeds]
    largest = [one.metrics["loss_largest"] / one.metrics["loss_median"] for one in seeds]
    beyond = [one.metrics["losses_beyond_uncertainty"] for one in seeds]
    yield from _found(
        seeds,
        f"- {late} of {count} fits took more steps than expected.",
        f"- Rank correlation of loss and divergence over the systems of a seed: {span(order)}.",
        f"- Losses beyond their uncertainty: {span(beyond)} of {seeds[0].metrics['systems']}; the "
        f"largest is {span(largest)} times the median.",
        "- Rank correlation of the loss with the Mahalanobis distance of the observation: "
        f"{mean_of(_values(seeds, 'loss_correlation_distance'))}.",
    )


def instance_solves() -> Iterator[str]:
    """Yield what became of withdrawn solves."""
    seeds = _seeds("instance_unlearning")
    rows = []
    for ease in ("easiest", "middling", "hardest"):
        start = f"solves_{ease}"
        told = sum(int(one.metrics[f"{start}_told"]) for one in seeds)
        rows.append(
            [
                ease,
                ratio_of(_values(seeds, f"{start}_error")),
                ratio_of(_values(seeds, f"{start}_error_rerun")),
                span([one.metrics[f"{start}_epochs"] for one in seeds]),
                f"{told} of {len(seeds)} seeds",
            ]
        )
    heads = ["solves", "error with them", "trained without them", "epochs to forget", "told apart"]
    yield from table(heads, rows)
    yield from _found(
        seeds,
        "- Relative deviation of such an error between trainings in other batches: "
        f"{mean_of(_values(seeds, 'solves_spread'))}.",
    )


# --- fedhl and federated --------------------------------------------------------------------------


def fedhl_sites() -> Iterator[str]:
    """Yield the errors of the sites by the way to adapt."""
    seeds = _seeds("fedhl")
    ways = {
        "common": "as it is",
        "alone": "alone",
        "flexlora": "FlexLoRA",
        "fedhl": "FedHL",
        "pooled": "pooled",
    }
    sites = range(int(seeds[0].metrics["sites"]))
    rows = [
        [f"{s}", *(mean_of(_values(seeds, f"error_{way}_site_{s}")) for way in ways)] for s in sites
    ]
    rows.append(["mean", *(mean_of(_values(seeds, f"error_{way}_mean")) for way in ways)])
    yield from table(["site", *ways.values()], rows)
    mean = {way: _values(seeds, f"error_{way}_mean") for way in ways}
    sides = {
        side: sum(int(one.metrics[f"sites_{side}_than_alone"]) for one in seeds)
        for side in ("better", "worse")
    }
    yield from _found(
        seeds,
        _verdict("error alone less that with FedHL", mean["alone"] - mean["fedhl"], above()),
        _verdict("error with FlexLoRA less FedHL's", mean["flexlora"] - mean["fedhl"], above()),
        _verdict("error as it is less that with FedHL", mean["common"] - mean["fedhl"], above()),
        _verdict("error alone less that of pooled solves", mean["alone"] - mean["pooled"], above()),
        f"- Of {len(seeds) * len(sites)} sites FedHL is better than training alone at "
        f"{sides['better']} and worse at {sides['worse']}, beyond two standard errors of the "
        "repeats.",
    )


def federated_answers() -> Iterator[str]:
    """Yield distances from the pooled answer and standard errors over the pooled ones."""
    groups = {
        "default, one law": _seeds("federated"),
        "default, messages with noise, epsilon 10": _seeds("federated", "noisy_sites"),
        "default, laws a spread apart (`law: own`)": _seeds("federated", "own_laws"),
        "elastic bar": _seeds("federated", "elastic_bar"),
    }
    # The parameters of the noise.
    flow, bar = {"amplitude", "noise_length"}, {"standard_deviation", "correlation"}
    rows = []
    for words, seeds in groups.items():
        if not seeds:
            continue
        distance, ratio = (
            [float(one.metrics[f"largest_{what}_federated"]) for one in seeds]
            for what in ("distance", "ratio")
        )
        rows.append([words, "federated", span(distance), f"at most {span(ratio, 3)}"])
        if "noise" not in words:
            rows += _alone(seeds, bar if words == "elastic bar" else flow)
    heads = ["study", "answer", "distance from the pooled answer", "standard errors over pooled"]
    yield from table(heads, rows)
    every = [one for seeds in groups.values() for one in seeds]
    shared, _, own, _ = groups.values()
    good = {
        words: sum(bool(one.metrics["as_good_as_pooled"]) for one in seeds)
        for words, seeds in groups.items()
    }
    yield from _found(
        every,
        "- Within 1.1 times the pooled standard errors: "
        + ", ".join(
            f"{words} {good[words]} of {len(seeds)} runs"
            for words, seeds in groups.items()
            if seeds
        )
        + ".",
        f"- Rounds: {span([one.metrics['rounds'] for one in shared])} with one law, "
        f"{span([one.metrics['rounds'] for one in own])} with laws of their own; bytes from a site "
        f"in a round at most {span([one.metrics['bytes_up_per_site_and_round'] for one in shared])}"
        f" and {span([one.metrics['bytes_up_per_site_and_round'] for one in own])}.",
        "- An observer of the plain messages reconstructs the observation of a site of one system "
        f"with {mean_of(_values(shared, 'reconstruction_error_1_system'))} of the error of an "
        "observer without messages, of a site of two systems with "
        f"{mean_of(_values(shared, 'reconstruction_error_2_systems'))}, of ten with "
        f"{mean_of(_values(shared, 'reconstruction_error_10_systems'))}, and of a whole site with "
        f"{mean_of(_values(shared, 'reconstruction_error_one_site'))}.",
    )


def _alone(seeds: Sequence[Numbers], of_noise: set[str]) -> Iterator[list[str]]:
    """Yield the rows of a site by itself: of law and noise, the largest of a parameter."""
    for part in ("law", "noise"):
        found = {
            what: [
                max(
                    float(value)
                    for name, value in one.metrics.items()
                    if (parameter := name.removeprefix(f"{what}_alone_")) != name
                    and (parameter in of_noise) == (part == "noise")
                )
                for one in seeds
            ]
            for what in ("distance", "ratio")
        }
        ratio = f"at most {span(found['ratio'], 3)}"
        yield ["", f"the worst site alone: {part}", span(found["distance"]), ratio]


# --- certified unlearning -------------------------------------------------------------------------


def certified_price() -> Iterator[str]:
    """Yield the deviation of the noise by epsilon and epochs of a removal."""
    (one, *_) = _seeds("certified_unlearning")
    pattern = re.compile(r"price_epsilon_(.+)_epochs_(\d+)")
    found = {m.groups(): one.metrics[m[0]] for n in one.metrics if (m := pattern.fullmatch(n))}
    last = max(int(epochs) for _, epochs in found)
    shown = [*(k for k in (1, 3, 5, 7) if k < last), last]
    epsilons = sorted({epsilon for epsilon, _ in found}, key=float)
    rows = [[f"$\\varepsilon = {e}$", *(number(found[e, str(k)]) for k in shown)] for e in epsilons]
    heads = ["epochs of a removal", *(f"{k}" for k in shown[:-1]), f"{last}, the default"]
    yield from table(heads, rows)
    yield from _found([one])


def certified_studies() -> Iterator[str]:
    """Yield noise, distance, epochs and attacks by study."""
    found = uses("certified_unlearning")
    rows = []
    for name in sorted(found):
        m = found[name].metrics
        attacks = [number(float(m[f"attack_epsilon_{k}"])) for k in ("before", "sequence", "batch")]
        rows.append(
            [
                name.replace("_", " "),
                number(m["noise_in_standard_errors"]),
                number(m["from_the_studys_answer"]),
                f"{m['epochs_one_by_one']}, {m['epochs_batch']}, {m['epochs_anew']}",
                ", ".join(attacks),
            ]
        )
    heads = [
        *("study", "noise, standard errors", "one step from the study's answer"),
        *("epochs one by one, at once, anew", "attack before, one by one, at once"),
    ]
    yield from table(heads, rows)
    yield from _found(list(found.values()))


# --- birch ----------------------------------------------------------------------------------------


def birch_training() -> Iterator[str]:
    """Yield predicted and measured times of the ways to train."""
    (one,) = _seeds("birch")
    m, rows = one.metrics, []
    for way in candidates(int(m["workers"])):
        n = way.name
        least, most = (m[f"{n}_measured_over_predicted_{end}"] for end in ("least", "most"))
        rows.append(
            [
                way.title,
                number(m[f"{n}_rate"], 3),
                number(m[f"{n}_predicted_seconds"], 3),
                number(m[f"{n}_measured_seconds"], 3),
                f"{m[f'{n}_measured_over_predicted']:.2f} ({least:.2f} to {most:.2f})",
                number(m[f"{n}_predicted_speed_up"]),
                number(m[f"{n}_measured_speed_up"]),
            ]
        )
    heads = [
        *("way to train", "step size", "predicted [s]", "measured [s]"),
        *("measured / predicted", "speed-up, predicted", "measured"),
    ]
    yield from table(heads, rows)
    right = m["advice"] == m["fastest_measured"]
    yield from _found(
        [one],
        f"- From a validation loss of {number(m['initial_loss'], 3)} to "
        f"{number(m['target_loss'], 3)}.",
        f"- The advice: {m['statement']}.",
        f"- It is {'the fastest' if right else 'not the fastest'} of the ways in the measured times"
        + (
            "."
            if right
            else f", by a factor of {number(float(m['advice_measured_over_fastest']), 3)}."
        ),
        f"- Largest error of a predicted time {m['largest_error_of_seconds']:.0%}, of a speed-up "
        f"{m['largest_error_of_speed_up']:.0%}.",
    )


def birch_solves() -> Iterator[str]:
    """Yield the times of the ways to share the solves of a round."""
    (one,) = _seeds("birch")
    m, rows = one.metrics, []
    words = {
        "equal": "as many solves for each machine",
        "by_speed": "shares in proportion to stated speeds",
        "pulled": f"chunks of {m['solves_chunk_size']}, pulled by idle machines",
    }
    for way, name in words.items():
        start = f"solves_{way}"
        least, most = (m[f"{start}_rehearsed_over_predicted_{end}"] for end in ("least", "most"))
        mean = m[f"{start}_rehearsed_over_predicted"]
        rows.append(
            [
                name,
                number(m[f"{start}_seconds"], 3),
                f"{m[f'{start}_over_bound']:.2f}",
                f"{mean:.3f} ({least:.3f} to {most:.3f})",
            ]
        )
    heads = ["way", "predicted [s]", "over the bound", "rehearsed / predicted"]
    yield from table(heads, rows)
    yield from _found(
        [one],
        f"- {m['solves_of_round']:,} solves; the bound is "
        f"{number(m['solves_bound_seconds'], 3)} s.",
        f"- The advice: {words[m['solves_advice']]}.",
    )


# --- the others -----------------------------------------------------------------------------------


def mwgrad_errors() -> Iterator[str]:
    """Yield how often the tests of a group err."""
    groups = {
        "four systems": _seeds("mwgrad"),
        "twenty systems": _seeds("mwgrad", "twenty_systems"),
    }
    names = {
        "false_positives": "group fails",
        "false_positives_pairs": "some pair fails",
        "false_positives_systems": "some system fails against the rest",
        "outlier_found": "outlier set apart",
        "others_dragged": "another set apart",
    }
    rows = [
        [words, *(mean_of(100 * _values(seeds, name)) for name in names)]
        for words, seeds in groups.items()
    ]
    yield from table(["groups of", *(f"{words} [%]" for words in names.values())], rows)
    every = [one for seeds in groups.values() for one in seeds]
    simulated = groups["four systems"][0].metrics["simulated_groups"]
    yield from _found(
        every,
        f"- {simulated} groups of alike systems are simulated for a seed, and as many with one "
        "outlier.",
    )


def posterior_coverage() -> Iterator[str]:
    """Yield the coverage of the intervals, and how the chains mix."""
    seeds, rows = _seeds("posterior"), []
    for place, one in enumerate(seeds, 1):
        m = one.metrics
        p = [value for name, value in m.items() if name.startswith("rank_p_value_")]
        rows.append(
            [
                str(place),
                *(f"{100 * m[name]:.1f}" for name in ("coverage_50", "coverage_80", "coverage")),
                f"{min(p):.2g} of {len(p)}",
                f"{m['r_hat_max']:.3f}",
                f"{m['moves_median']:.0f} to {m['moves_max']}",
                f"{m['systems_at_the_cap']}",
                f"{m['surprising_systems']} ({m['surprising_systems_expected']:g})",
            ]
        )
    heads = [
        *("seed", "50 % intervals [%]", "80 %", "95 %", "smallest p-value of the ranks"),
        *("R-hat, worst", "moves of a chain, median to most", "at the cap"),
        "surprising systems (expected)",
    ]
    yield from table(heads, rows)
    bound = Range(0.93, 0.97)
    yield from _found(
        seeds, _verdict("share of the truth in 95 % intervals", _values(seeds, "coverage"), bound)
    )


def posterior_places() -> Iterator[str]:
    """Yield what an observation tells of each place."""
    seeds, start = _seeds("posterior"), "narrowing_"
    places = [n.removeprefix(start) for n in seeds[0].metrics if n.startswith(start)]
    rows = [
        [
            place.replace("_", " "),
            mean_of(_values(seeds, f"{start}{place}")),
            mean_of(100 * _values(seeds, f"coverage_{place}"), 3),
            span([one.metrics[f"rank_distance_{place}"] for one in seeds]),
        ]
        for place in places
    ]
    heads = ["quantity", "posterior over population deviation", "95 % intervals [%]"]
    yield from table([*heads, "rank distance"], rows)
    yield from _found(seeds)


def sgd_starts() -> Iterator[str]:
    """Yield what descents from other starts find."""
    (one,) = _seeds("sgd_dynamics")
    m = one.metrics
    words = {
        "starts": "starts",
        "answers": "different answers",
        "same_answer": "share that ends at the study's answer",
        "farthest": "largest distance of these ends, standard errors",
        "better_answer": "share that finds a better answer",
        "better_answer_high": "upper end of its 95 % interval",
        "legs_most": "most runs of the descent",
    }
    yield from table(["", ""], [[text, number(m[name])] for name, text in words.items()])
    yield from _found([one], f"- {m['statement']}.")


def withdrawal_checked() -> Iterator[str]:
    """Yield how well the influence predicts fits without single systems."""
    found, rows = uses("withdrawal"), []
    shown = [n for n in sorted(found) if found[n].metrics["checked"]]
    for name in shown:
        m = found[name].metrics
        rows.append(
            [
                name.replace("_", " "),
                number(m["systems"]),
                number(m["size_largest"]),
                f"{m['checked_correlation_smallest']:.3f}",
                f"{m['checked_steps_above_predicted']} of {m['checked']}",
                number(m["checked_left_by_one_step"]),
                number(m["systems_of_more_than_one_step"]),
            ]
        )
    heads = [
        *("study", "systems", "largest size", "smallest rank correlation of a parameter"),
        *("fits above the predicted steps", "one step leaves, of the largest"),
        "systems that need more than one step",
    ]
    yield from table(heads, rows)
    yield from _found([found[name] for name in shown])


def withdrawal_reruns() -> Iterator[str]:
    """Yield short fits beside whole reruns without a system."""
    found, rows = uses("withdrawal"), []
    shown = [n for n in sorted(found) if "rerun_from_short_fit" in found[n].metrics]
    names = ("withdrawn_size_one_step", "withdrawn_size", "withdrawn_size_rerun")
    for name in shown:
        m = found[name].metrics
        cells = [number(m[each], 3) for each in (*names, "rerun_from_short_fit")]
        rows.append([name.replace("_", " "), *cells])
    heads = ["study", "size by one step", "short fit", "rerun", "distance of rerun and short fit"]
    yield from table(heads, rows)
    yield from _found([found[name] for name in shown])


def analog_tolerated() -> Iterator[str]:
    """Yield the level of each error that moves the answer by half a standard error."""
    (one,) = _seeds("analog")
    m, rows = one.metrics, []
    words = {
        "programming": "programming, of the largest weight",
        "drift": "drift, compensated, hours",
        "converters": "converters, bits",
        "read_noise": "read noise, of the range",
    }
    for kind, text in words.items():
        level, low, high = (m[f"tolerated_{kind}{end}"] for end in ("", "_lowest", "_highest"))
        where = m[f"tolerated_{kind}_where"]
        levels = sorted(
            float(n.removeprefix(f"deployed_{kind}_").removesuffix("_law_shift"))
            for n in m
            if n.startswith(f"deployed_{kind}_") and n.endswith("_law_shift")
        )
        shifts = [
            f"{at:g}: {number(m[f'deployed_{kind}_{at:g}_law_shift'])}, "
            f"{number(m[f'deployed_{kind}_{at:g}_noise_shift'])}"
            for at in levels
        ]
        told = f"{number(level)} ({number(low)} to {number(high)})"
        rows.append([text, told + ("" if where == "within" else f", {where}"), "; ".join(shifts)])
    heads = ["error", "half a standard error at", "level: largest shift of law, of noise"]
    yield from table(heads, rows)
    yield from _found([one], f"- {m['advice']}.", f"- {m['statement']}.")


def bigram_series() -> Iterator[str]:
    """Yield prediction and count of the steps on a study's series."""
    (one,) = _seeds("bigram", "elastic_bar")
    m = one.metrics
    rows = [
        [
            f"{method} descent",
            number(m[f"predicted_steps_{method}"]),
            number(m[f"steps_{method}"]),
        ]
        for method in ("gradient", "sign")
    ]
    yield from table(["method", "steps by the fitted law", "counted on the withheld half"], rows)
    yield from _found(
        [one],
        f"- Fitted exponent {number(m['exponent'])}, misfit {number(m['exponent_misfit'])}.",
        f"- The advice: {m['statement']}.",
    )


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    function.__name__: function
    for function in (
        analog_tolerated,
        bigram_series,
        birch_solves,
        birch_training,
        certified_price,
        certified_studies,
        federated_answers,
        fedhl_sites,
        influence_candidates,
        influence_selection,
        instance_solves,
        instance_systems,
        mwgrad_errors,
        posterior_coverage,
        posterior_places,
        sgd_starts,
        withdrawal_checked,
        withdrawal_reruns,
    )
}
"""The tables by the names that the pages use."""
