"""What methods find on a study.

The record of a method (popinv.methods.method) says what its job reads, writes and needs. There is a
rule use_NAME for each method, of popinv and of every package that adds methods.
"""

from operator import attrgetter

from popinv.config.reruns import name_of_rerun
from popinv.methods.method import STUDY_STORES
from popinv.methods.registry import METHODS


def picture(folder, figure):
    """Figure of a method in this folder, for Snakemake's report."""
    *_, method = folder.split("/")
    return report(
        f"{folder}/figures/{figure}.png",
        caption="../report/method.rst",
        category="{study}" if "{study}" in folder else "test problems",
        labels={"figure": f"{method}: {figure}".replace("_", " ")},
    )


def outputs_in(folder, made, job, **others):
    """Outputs of a job of a method, by name."""
    return {
        "metrics": f"{folder}/metrics.json",
        "made": made,
        **others,
        "files": [f"{folder}/{file}" for file in job.files],
        "figures": [picture(folder, figure) for figure in job.figures],
        "numbers": [f"{folder}/figures/{figure}.csv" for figure in job.figures],
    }


def study_outputs(method):
    """Outputs of a method's use on a study, by name."""
    folder = f"<results>/{{study}}/downstream/{method.name}"
    own = f"<results>/{{study}}/{method.use.store}"
    store = own if method.use.store else f"{folder}/result.zarr.zip"
    made = f"<results>/{{study}}/made/use_{method.name}.json"
    return outputs_in(folder, made, method.use, result=store)


def study_inputs(method):
    """Input function: the stores of a study and the files that a method reads, by name."""

    def stores(wildcards):
        study = study_of(wildcards)
        if getattr(study.downstream, method.name) is None:
            raise WorkflowError(
                f"The study {wildcards.study} does not ask for {method.name}: set "
                f"'studies.{wildcards.study}.downstream.{method.name}: {{}}'."
            )
        there = {
            "truth": study.is_synthetic(),
            "rerun": getattr(getattr(study.downstream, method.name), "rerun", False),
        }
        folders = {"rerun": name_of_rerun(wildcards.study)}
        # Systems that have joined the study since its rounds.
        joined = {"observations", "descent", "likelihood"} if study.additions() else set()
        files = list(getattr(study.downstream, method.name).files().values())
        return ({"files": files} if files else {}) | {
            name: (
                of_all(STUDY_STORES[name])(wildcards)
                if name in joined
                else f"<results>/{folders.get(name, wildcards.study)}/{STUDY_STORES[name]}.zarr.zip".format(
                    last=study.last_round()
                )
            )
            for name in method.use.stores
            if there.get(name, True)
        }

    return stores


def study_sections(method):
    """Params function: the seed, and the sections that a method uses, by name."""

    def chosen(wildcards):
        # Systems that have joined the study may have further times.
        study = study_of(wildcards).joined()
        given = {"seed": study.seed, "asked": getattr(study.downstream, method.name)}
        for name in method.use.sections:
            section = attrgetter(name)(study)
            given[name.rpartition(".")[2]] = section
        return given

    return chosen


# Use a method on a study.
for method in METHODS.values():

    rule:
        name:
            f"use_{method.name}"
        input:
            unpack(study_inputs(method)),
        output:
            **study_outputs(method),
        log:
            f"<results>/{{study}}/logs/use_{method.name}.log",
        benchmark:
            f"<results>/{{study}}/benchmarks/use_{method.name}.tsv"
        threads: processes(f"use_{method.name}")
        resources:
            **request_of(f"use_{method.name}"),
        params:
            given=study_sections(method),
            module=method.module,
            code=code_of("use_method", *method.use.imports, also=(method.module,)),
        message:
            f"{{wildcards.study}}: {method.use.message}"
        script:
            "../scripts/use_method.py"
