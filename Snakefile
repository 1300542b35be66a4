"""Populational inverse problems: solve, train, deconvolve, assess.

The configuration is checked and completed here; the rules take typed sections of it.
"""

from popinv.houses import packages
from popinv.location import default_configuration

# A configuration given with --configfile replaces the default one; it would be merged otherwise.
if not workflow.overwrite_configfiles:

    configfile: default_configuration()


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


pathvars:
    results=config["results"],


wildcard_constraints:
    study="|".join(STUDIES),
    round="truth|check|fixed|systems_[0-9]+|[0-9]+",
    chunk="[0-9]+",


include: "workflow/rules/population.smk"
include: "workflow/rules/active_learning.smk"
include: "workflow/rules/inference.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/sampling_error.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/model_choice.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/gallery.smk"
include: "workflow/rules/methods.smk"


if "popinv_papers" in packages():

    include: "workflow/rules/papers.smk"


# Everything about every study of the configuration.
rule all:
    default_target: True
    input:
        expand("<results>/{study}/metrics.json", study=STUDIES),
        expand("<results>/{study}/population.zarr.zip", study=STUDIES),
        # The records of the jobs from which nothing follows; all other results are in records.
        expand("<results>/{study}/made/assess_population.json", study=STUDIES),
        expand("<results>/{study}/made/plot_figures.json", study=STUDIES),
        expand("<results>/{study}/figures/{figure}.png", study=STUDIES, figure=FIGURES),
        [
            f"<results>/{study}/baselines/comparison.json"
            for study, section in STUDIES.items()
            if section.assessment.baselines
        ],
        [
            f"<results>/{study}/figures/{figure}.png"
            for study, section in STUDIES.items()
            for figure in section.evidence.figures()
        ],
        expand("<results>/comparisons/{comparison}/comparison.json", comparison=COMPARISONS),
        [
            f"<results>/{study}/downstream/{method}/metrics.json"
            for study, section in STUDIES.items()
            for method, asked in section.downstream
            if asked is not None
        ],
