"""Comparisons of several models of the same observations."""

COMPARISONS = CONFIGURATION.comparisons


def of_compared(store):
    """Input function: a store of every study of a comparison, in their order."""
    return lambda wildcards: [
        (
            of_all(store)(GivenWildcards(study=study))
            if store == "observations"
            else f"<results>/{study}/{store}.zarr.zip"
        )
        for study in COMPARISONS[wildcards.comparison]
    ]


# The answer without the systems that it is tested on.
rule refit_without_tested:
    input:
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr.zip",
    output:
        without_tested="<results>/{study}/without_tested.zarr.zip",
        made="<results>/{study}/made/refit_without_tested.json",
    log:
        "<results>/{study}/logs/refit_without_tested.log",
    benchmark:
        "<results>/{study}/benchmarks/refit_without_tested.tsv"
    wildcard_constraints:
        study=studies(synthetic=False),
    threads: processes("refit_without_tested")
    resources:
        **request_of("refit_without_tested"),
    params:
        **params_of("refit_without_tested"),
    message:
        "{wildcards.study}: refitting the answer without the systems that it is tested on"
    script:
        "../scripts/stage.py"


def refitted(wildcards):
    """Input function: the answer without tested systems, if it has learned from them."""
    if study_of(wildcards).is_synthetic():
        return {}
    return {"without_tested": f"<results>/{wildcards.study}/without_tested.zarr.zip"}


# Score the tested systems under the model of a study.
rule score_systems:
    input:
        unpack(refitted),
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr.zip",
        likelihood=of_all("likelihood"),
    output:
        scores="<results>/{study}/scores.zarr.zip",
        made="<results>/{study}/made/score_systems.json",
    log:
        "<results>/{study}/logs/score_systems.log",
    benchmark:
        "<results>/{study}/benchmarks/score_systems.tsv"
    threads: processes("score_systems")
    resources:
        **request_of("score_systems"),
    params:
        **params_of("score_systems"),
    message:
        "{wildcards.study}: scoring the tested systems"
    script:
        "../scripts/stage.py"


# One table of several models: AIC, BIC, and scores of systems that they have not seen.
rule compare_models:
    input:
        scores=of_compared("scores"),
        observations=of_compared("observations"),
    output:
        comparison="<results>/comparisons/{comparison}/comparison.json",
        figure=report(
            "<results>/comparisons/{comparison}/scores.png",
            caption="../report/comparison.rst",
            category="comparisons",
            labels={"figure": "{comparison}"},
        ),
        numbers="<results>/comparisons/{comparison}/scores.csv",
        made="<results>/comparisons/{comparison}/made/compare_models.json",
    log:
        "<results>/comparisons/{comparison}/logs/compare_models.log",
    benchmark:
        "<results>/comparisons/{comparison}/benchmarks/compare_models.tsv"
    wildcard_constraints:
        comparison="|".join(COMPARISONS) or "(?!)",
    localrule: True
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        studies=lambda wildcards: COMPARISONS[wildcards.comparison],
        code=code_alone("compare_models"),
    message:
        "{wildcards.comparison}: comparing the models"
    script:
        "../scripts/compare_models.py"
