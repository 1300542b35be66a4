"""The answer and the checks on it."""


def final(artefact):
    """Input function: an artefact of the last round."""
    path = f"<results>/{{study}}/rounds/{{round}}/{artefact}.zarr.zip"
    return lambda wildcards: path.format(
        study=wildcards.study, round=study_of(wildcards).last_round()
    )


def of_all(store, additions=None):
    """Input function: a store of all systems of a study, or with its first additions alone."""

    def found(wildcards):
        count = len(study_of(wildcards).additions()) if additions is None else additions
        folder = f"<results>/{wildcards.study}"
        if count:
            folder = f"{folder}/additions/{count}"
        return f"{folder}/{store}.zarr.zip"

    return found


def repeated(wildcards):
    """Input function: the sampling error of a forward model that has one."""
    if not study_of(wildcards).has_sampling_error():
        return {}
    return {"sampling_error": f"<results>/{wildcards.study}/sampling_error.zarr.zip"}


def known_truth(*oracles):
    """Input function: the truth, and some of the oracles, as far as the study has them."""

    def known(wildcards):
        study, folder = study_of(wildcards), f"<results>/{wildcards.study}"
        if not study.is_synthetic():
            return {}
        asked = oracles if study.assessment.oracles else ()
        return {
            "truth": f"{folder}/truth.zarr.zip",
            **{f"{name}_known": f"{folder}/oracles/{name}_known.zarr.zip" for name in asked},
        }

    return known


# The coupled descent on law and noise.
rule deconvolve:
    input:
        observations="<results>/{study}/observations.zarr.zip",
        surrogate=final("surrogate"),
        estimate=final("estimate"),
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        descent="<results>/{study}/descent.zarr.zip",
        made="<results>/{study}/made/deconvolve.json",
    log:
        "<results>/{study}/logs/deconvolve.log",
    benchmark:
        "<results>/{study}/benchmarks/deconvolve.tsv"
    # Intervals, figures and assessment wait for it; only the assessment waits for the oracles.
    priority: 1
    resources:
        **request_of("deconvolve"),
    params:
        **params_of("deconvolve"),
    message:
        "{wildcards.study}: recovering the law and the noise"
    script:
        "../scripts/stage.py"


# Pseudo-likelihood and likelihood, through the surrogate or the solver itself.
rule maximise_likelihoods:
    input:
        observations="<results>/{study}/observations.zarr.zip",
        surrogate=final("surrogate"),
        estimate=final("estimate"),
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        pseudo_likelihood="<results>/{study}/pseudo_likelihood.zarr.zip",
        likelihood="<results>/{study}/likelihood.zarr.zip",
        made="<results>/{study}/made/maximise_likelihoods.json",
    log:
        "<results>/{study}/logs/maximise_likelihoods.log",
    benchmark:
        "<results>/{study}/benchmarks/maximise_likelihoods.tsv"
    # The answer, its figures and its assessment wait for it.
    priority: 2
    threads: processes("maximise_likelihoods")
    resources:
        **request_of("maximise_likelihoods"),
    params:
        **params_of("maximise_likelihoods"),
    message:
        "{wildcards.study}: maximising pseudo-likelihood and likelihood"
    script:
        "../scripts/stage.py"


def estimates_of(wildcards, additions):
    """The answers of all estimators, by name, with the systems of the first additions."""
    stores = {
        "distance": "descent",
        "pseudo_likelihood": "pseudo_likelihood",
        "likelihood": "likelihood",
    }
    return {name: of_all(store, additions)(wildcards) for name, store in stores.items()}


def every_estimate(wildcards):
    """Input function: the answers of all estimators, by name."""
    return estimates_of(wildcards, len(study_of(wildcards).additions()))


def before_addition(wildcards):
    """Input function: the observations and estimates without an addition to a study."""
    before = int(wildcards.number) - 1
    observations = of_all("observations", before)(wildcards)
    return {"observations": observations, **estimates_of(wildcards, before)}


# Systems that join the study: the estimates go on from the last ones.
rule add_systems:
    input:
        unpack(before_addition),
        surrogate=final("surrogate"),
        check="<results>/{study}/rounds/check/solves.zarr.zip",
        file=lambda wildcards: study_of(wildcards).additions()[int(wildcards.number) - 1].file,
        # It is another file only where inputs over time have their own.
        timed=lambda wildcards: study_of(wildcards).input_files(int(wildcards.number)),
    output:
        batch="<results>/{study}/additions/{number}/batch.zarr.zip",
        observations="<results>/{study}/additions/{number}/observations.zarr.zip",
        distance="<results>/{study}/additions/{number}/descent.zarr.zip",
        pseudo_likelihood="<results>/{study}/additions/{number}/pseudo_likelihood.zarr.zip",
        likelihood="<results>/{study}/additions/{number}/likelihood.zarr.zip",
        figure=report(
            "<results>/{study}/additions/{number}/batch.png",
            caption="../report/batch.rst",
            category="{study}",
            labels={"figure": "added systems {number}"},
        ),
        numbers="<results>/{study}/additions/{number}/batch.csv",
        made="<results>/{study}/made/add_systems.{number}.json",
    log:
        "<results>/{study}/logs/add_systems.{number}.log",
    benchmark:
        "<results>/{study}/benchmarks/add_systems.{number}.tsv"
    wildcard_constraints:
        number="[1-9][0-9]*",
    priority: 2
    threads: processes("add_systems")
    resources:
        **request_of("add_systems"),
    params:
        **params_of("add_systems"),
    message:
        "{wildcards.study}: adding the systems of {input.file}"
    script:
        "../scripts/stage.py"


# The same estimate if the noise, or the law, is known.
rule consult_oracle:
    input:
        unpack(every_estimate),
        observations=of_all("observations"),
        truth="<results>/{study}/truth.zarr.zip",
        surrogate=final("surrogate"),
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        oracle="<results>/{study}/oracles/{known}_known.zarr.zip",
        made="<results>/{study}/made/consult_oracle.{known}.json",
    log:
        "<results>/{study}/logs/consult_oracle.{known}.log",
    benchmark:
        "<results>/{study}/benchmarks/consult_oracle.{known}.tsv"
    wildcard_constraints:
        known="noise|law",
    threads: processes("consult_oracle")
    resources:
        **request_of("consult_oracle"),
    params:
        **params_of("consult_oracle"),
    message:
        "{wildcards.study}: estimating with the {wildcards.known} known"
    script:
        "../scripts/stage.py"


# The answer: the best estimate, its intervals, and its agreement with the others.
rule gather_answer:
    input:
        unpack(repeated),
        unpack(every_estimate),
        observations=of_all("observations"),
        surrogate=final("surrogate"),
    output:
        population="<results>/{study}/population.zarr.zip",
        made="<results>/{study}/made/gather_answer.json",
    log:
        "<results>/{study}/logs/gather_answer.log",
    benchmark:
        "<results>/{study}/benchmarks/gather_answer.tsv"
    resources:
        **request_of("gather_answer"),
    params:
        **params_of("gather_answer"),
    message:
        "{wildcards.study}: gathering the answer"
    script:
        "../scripts/stage.py"


# Judge the answer.
rule assess_population:
    input:
        unpack(repeated),
        unpack(known_truth("noise", "law")),
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr.zip",
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        answer="<results>/{study}/answer.json",
        metrics="<results>/{study}/metrics.json",
        made="<results>/{study}/made/assess_population.json",
    log:
        "<results>/{study}/logs/assess_population.log",
    benchmark:
        "<results>/{study}/benchmarks/assess_population.tsv"
    threads: processes("assess_population")
    resources:
        **request_of("assess_population"),
    params:
        **params_of("assess_population"),
    message:
        "{wildcards.study}: assessing the answer"
    script:
        "../scripts/stage.py"


def estimates(wildcards):
    """The population as each round estimated it, for the figure of the solver calls."""
    rounds = range(study_of(wildcards).last_round() + 1)
    folder = f"<results>/{wildcards.study}/rounds"
    return {f"estimate_{r}": f"{folder}/{r}/estimate.zarr.zip" for r in rounds}


# Draw every figure of a study.
rule plot_figures:
    input:
        unpack(repeated),
        unpack(known_truth("noise")),
        unpack(estimates),
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr.zip",
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        [
            report(
                f"<results>/{{study}}/figures/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="{study}",
                labels={"figure": figure.replace("_", " ")},
            )
            for figure in FIGURES
        ],
        numbers=[f"<results>/{{study}}/figures/{figure}.csv" for figure in FIGURES],
        made="<results>/{study}/made/plot_figures.json",
    log:
        "<results>/{study}/logs/plot_figures.log",
    benchmark:
        "<results>/{study}/benchmarks/plot_figures.tsv"
    resources:
        **request_of("plot_figures"),
    params:
        **params_of("plot_figures"),
    message:
        "{wildcards.study}: drawing the figures"
    script:
        "../scripts/stage.py"
