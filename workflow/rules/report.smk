"""Pages that can be sent to a colleague: one for each study and each downstream method."""

import re

from popinv.report.folder import (
    ASSETS,
    found_comparisons,
    found_studies,
    is_alone,
    library_name,
    templates_hash,
)

LIBRARY = f"<results>/report/{ASSETS}/{library_name()}"


def evidence_stores(wildcards):
    """Input function: the evidence that a study requests, by name."""
    study, folder = study_of(wildcards), f"<results>/{wildcards.study}"
    return {
        name: f"{folder}/evidence/{name}.zarr.zip"
        for name, wanted in {
            "error_against_systems": study.evidence.system_counts,
            "designs": study.evidence.design_counts,
            "calibration": study.evidence.calibration,
        }.items()
        if wanted
    }


def methods_on(study):
    """Names of the downstream methods that a study requests."""
    return [name for name, asked in STUDIES[study].downstream if asked is not None]


def last_batch(wildcards):
    """Input function: the comparison of the systems added last with the population, if any."""
    if not study_of(wildcards).additions():
        return {}
    return {"batch": of_all("batch")(wildcards)}


def other_results(wildcards):
    """Input function: the inputs of a page, by the name of their folder."""
    study, folder = study_of(wildcards), f"<results>/{wildcards.study}"
    return [
        *([f"{folder}/baselines/comparison.json"] if study.assessment.baselines else []),
        *(f"{folder}/downstream/{name}/metrics.json" for name in methods_on(wildcards.study)),
    ]


# Put the library that draws the charts beside the pages.
rule write_library:
    output:
        library=LIBRARY,
        made="<results>/report/made/write_library.json",
    log:
        "<results>/report/logs/write_library.log",
    benchmark:
        "<results>/report/benchmarks/write_library.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_alone("write_library"),
    message:
        "writing the library of the charts"
    script:
        "../scripts/write_library.py"


def reported_methods():
    """Downstream methods that have a page: those that a study requests, or that have run."""
    folders = Path(config["results"], "downstream").glob("*/metrics.json")
    asked = {name for study in STUDIES for name in methods_on(study)}
    return sorted(asked | {file.parent.name for file in folders})


def studies_using(method):
    """Names of the studies that request a method."""
    return [study for study in STUDIES if method in methods_on(study)]


def left_by_others(found, own):
    """Names that are among the results, but not in this configuration."""
    return sorted(set(found(config["results"])) - set(own))


OTHER_STUDIES = left_by_others(found_studies, STUDIES)
ALL_COMPARISONS = [*COMPARISONS, *left_by_others(found_comparisons, COMPARISONS)]
ALONE = is_alone(
    [*STUDIES, *OTHER_STUDIES],
    ALL_COMPARISONS,
    [method for method in reported_methods() if not studies_using(method)],
)


# Write the page of a study.
rule write_study_page:
    input:
        unpack(repeated),
        unpack(known_truth("noise", "law")),
        unpack(estimates),
        unpack(evidence_stores),
        unpack(last_batch),
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        distance=of_all("descent"),
        pseudo_likelihood=of_all("pseudo_likelihood"),
        likelihood=of_all("likelihood"),
        population="<results>/{study}/population.zarr.zip",
        check="<results>/{study}/rounds/check/solves.zarr.zip",
        answer="<results>/{study}/answer.json",
        figures=expand("<results>/{study}/figures/{figure}.png", figure=FIGURES, allow_missing=True),
        others=other_results,
        library=LIBRARY,
    output:
        page="<results>/report/studies/{study}.html",
        made="<results>/{study}/made/write_study_page.json",
    log:
        "<results>/{study}/logs/write_study_page.log",
    benchmark:
        "<results>/{study}/benchmarks/write_study_page.tsv"
    resources:
        **request_of("write_study_page"),
    params:
        seed=seed_of,
        study=lambda wildcards: {"whole": study_of(wildcards).joined()},
        alone=ALONE,
        look=templates_hash(),
        code=code_of("write_study_page"),
    message:
        "{wildcards.study}: writing its page"
    script:
        "../scripts/write_study_page.py"


def method_results(wildcards):
    """Input function: all results of a method."""
    found = [
        f"<results>/{study}/downstream/{wildcards.method}/metrics.json"
        for study in studies_using(wildcards.method)
    ]
    own = f"{config['results']}/downstream/{wildcards.method}/metrics.json"
    return [*found, own] if Path(own).exists() else found


def documentation_of(method):
    """The method's page of documentation, empty if it has none."""
    pages = (Path(PROJECT, "docs", folder, f"{method}.md") for folder in ("methods", "papers"))
    return next((page.read_text(encoding="utf-8") for page in pages if page.exists()), "")


def sections_using(method):
    """Sections of the studies that request a method, by name."""
    return {study: STUDIES[study] for study in studies_using(method)}


def benchmarks(wildcards):
    """Params function: the benchmark file of a method on each study, and of its test problem."""
    own = f"downstream/{wildcards.method}/metrics.json"
    found = {}
    for rule in workflow.rules:
        for output in map(str, rule.output):
            if not output.endswith(own):
                continue
            # The path holds the wildcard with the names that it may have.
            parts = re.split(r"\{study[^}]*\}", str(rule.benchmark))
            if len(parts) == 1:
                found["test problem"] = parts[0]
            else:
                found |= {study: study.join(parts) for study in studies_using(wildcards.method)}
    return found


# Write the page of a downstream method: its test problem, and its results on each study.
rule write_method_page:
    input:
        method_results,
    output:
        page="<results>/report/methods/{method}.html",
        made="<results>/report/made/write_method_page.{method}.json",
    log:
        "<results>/report/logs/write_method_page.{method}.log",
    benchmark:
        "<results>/report/benchmarks/write_method_page.{method}.tsv"
    wildcard_constraints:
        method="[a-z0-9_]+",
    localrule: True
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        results=lambda wildcards: config["results"],
        studies=lambda wildcards: sections_using(wildcards.method),
        about=lambda wildcards: documentation_of(wildcards.method),
        benchmarks=benchmarks,
        look=templates_hash(),
        code=code_alone("write_method_page"),
    message:
        "{wildcards.method}: writing its page"
    script:
        "../scripts/write_method_page.py"


# Write the page of a comparison of models.
rule write_comparison_page:
    input:
        comparison="<results>/comparisons/{comparison}/comparison.json",
        library=LIBRARY,
    output:
        page="<results>/report/comparisons/{comparison}.html",
        made="<results>/report/made/write_comparison_page.{comparison}.json",
    log:
        "<results>/report/logs/write_comparison_page.{comparison}.log",
    benchmark:
        "<results>/report/benchmarks/write_comparison_page.{comparison}.tsv"
    wildcard_constraints:
        comparison="|".join(COMPARISONS) or "(?!)",
    localrule: True
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        look=templates_hash(),
        code=code_alone("write_comparison_page"),
    message:
        "{wildcards.comparison}: writing its page"
    script:
        "../scripts/write_comparison_page.py"


def pages():
    """The pages of all studies, comparisons and methods."""
    return [
        *(f"<results>/report/comparisons/{name}.html" for name in COMPARISONS),
        *(f"<results>/report/studies/{study}.html" for study in STUDIES),
        *(f"<results>/report/methods/{method}.html" for method in reported_methods()),
    ]


# Write the pages of all studies of the configuration, and an index of all studies there are.
rule report:
    input:
        pages(),
    output:
        index="<results>/report/index.html",
        made="<results>/report/made/report.json",
    log:
        "<results>/report/logs/report.log",
    benchmark:
        "<results>/report/benchmarks/report.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        results=lambda wildcards: config["results"],
        studies=dict(STUDIES),
        methods={method: studies_using(method) for method in reported_methods()},
        other_studies=OTHER_STUDIES,
        comparisons=ALL_COMPARISONS,
        alone=ALONE,
        about={method: documentation_of(method) for method in reported_methods()},
        look=templates_hash(),
        code=code_alone("report"),
    message:
        "writing the index page"
    script:
        "../scripts/report.py"
