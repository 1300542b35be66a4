"""What the rules share: the checked configuration, and fingerprints of the code they run."""

import sys

from popinv.config.data_files import check_data_files
from popinv.config.loading import as_mapping, load, load_file
from popinv.errors import PopinvError
from popinv.figure_names import FIGURES
from popinv.fingerprint import fingerprint
from popinv.workflow import (
    chunk_count,
    coverage_blocks,
    evidence_figures,
    forward_modules,
    has_sampling_error,
    is_synthetic,
    last_round,
    refuse_foreign_stores,
    replications_of,
    simulator_of,
    solve_count,
)


def checked(given, files):
    """Return the configuration with every default filled in, or stop with one message."""
    try:
        source = ", ".join(map(str, files)) or "config"
        # Reading the file again catches what YAML readers let pass, such as a key given twice.
        for file in files:
            load_file(file)
        model = load(given, source)
        complete = as_mapping(model)
        if workflow.is_main_process:
            check_data_files(model)
            refuse_foreign_stores(complete)
        return complete
    except PopinvError as error:
        if workflow.is_main_process:
            print(f"\n{error}\n", file=sys.stderr)
        raise SystemExit(1)


complete = checked(dict(config), workflow.configfiles)
config.clear()
config.update(complete)


def code_of(rule, solves=False, also=()):
    """Params function: fingerprint of a rule's script and of what its study's model selects.

    ``also`` names modules that the script's imports do not show, since a function imports them.
    """

    def code(wildcards):
        forward = config["studies"][wildcards.study]["forward"]
        script = f"{workflow.basedir}/workflow/scripts/{rule}.py"
        return fingerprint(script, *forward_modules(forward, solves), *also)

    return code


def code_alone(rule):
    """Fingerprint of a rule's script where no study's forward model takes part."""
    return fingerprint(f"{workflow.basedir}/workflow/scripts/{rule}.py")


def studies(synthetic):
    """Pattern of the names of the synthetic studies, or of those with a file."""
    names = [n for n, s in config["studies"].items() if is_synthetic(s) == synthetic]
    return "|".join(names) or "(?!)"
