"""The observations: a synthetic population from a known truth, or the user's own."""


# Draw the parameters of a synthetic population from its true law.
rule draw_population:
    input:
        unpack(compared),
    output:
        proposals="<results>/{study}/rounds/{round}/proposals.zarr.zip",
        made="<results>/{study}/made/draw_population.{round}.json",
    log:
        "<results>/{study}/logs/draw_population.{round}.log",
    benchmark:
        "<results>/{study}/benchmarks/draw_population.{round}.tsv"
    wildcard_constraints:
        round="truth|systems_[0-9]+",
        study=studies(synthetic=True),
    resources:
        **request_of("draw_population"),
    params:
        **params_of("draw_population"),
    message:
        "{wildcards.study}, {wildcards.round}: drawing a population from its true law"
    script:
        "../scripts/stage.py"


# The study's own population, its solves and its observations, where these take seconds.
rule simulate_observations:
    input:
        unpack(compared),
    output:
        solves="<results>/{study}/rounds/truth/solves.zarr.zip",
        observations="<results>/{study}/observations.zarr.zip",
        truth="<results>/{study}/truth.zarr.zip",
        made="<results>/{study}/made/simulate_observations.json",
    log:
        "<results>/{study}/logs/simulate_observations.log",
    benchmark:
        "<results>/{study}/benchmarks/simulate_observations.tsv"
    wildcard_constraints:
        study=studies(synthetic=True, in_parts=False),
    resources:
        **request_of("simulate_observations"),
    params:
        **params_of("simulate_observations"),
    message:
        "{wildcards.study}: drawing a population from its true law, solving, and observing it"
    script:
        "../scripts/simulate_observations.py"


# The parts of such a study make the rounds of its evidence alone.
ruleorder: simulate_observations > collect_solves


# Add noise to the solved population and set some systems aside.
rule observe_population:
    input:
        solves="<results>/{study}/rounds/truth/solves.zarr.zip",
    output:
        observations="<results>/{study}/observations.zarr.zip",
        truth="<results>/{study}/truth.zarr.zip",
        made="<results>/{study}/made/observe_population.json",
    log:
        "<results>/{study}/logs/observe_population.log",
    benchmark:
        "<results>/{study}/benchmarks/observe_population.tsv"
    wildcard_constraints:
        study=studies(synthetic=True, in_parts=True),
    resources:
        **request_of("observe_population"),
    params:
        **params_of("observe_population"),
    message:
        "{wildcards.study}: observing the population through noise"
    script:
        "../scripts/stage.py"


def table_of(wildcards):
    """Input function: the table of a study, whose time counts only if its content is another.

    Snakemake compares bytes, and another end of each line is no other table.
    """
    file = study_of(wildcards).observations.file
    made = Path(config["results"], wildcards.study, "made", "import_observations.json")
    return ancient(file) if is_as_recorded(file, made) else file


# Convert the user's own observations into the same form.
rule import_observations:
    input:
        unpack(compared),
        file=table_of,
        # It is another file only where inputs over time have their own.
        timed=of_study(lambda study: study.input_files()),
    output:
        observations="<results>/{study}/observations.zarr.zip",
        made="<results>/{study}/made/import_observations.json",
    log:
        "<results>/{study}/logs/import_observations.log",
    benchmark:
        "<results>/{study}/benchmarks/import_observations.tsv"
    wildcard_constraints:
        study=studies(synthetic=False),
    resources:
        **request_of("import_observations"),
    params:
        **params_of("import_observations"),
    message:
        "{wildcards.study}: reading the observations from {input.file}"
    script:
        "../scripts/stage.py"
