"""Draw the rules of the default study, from the jobs that Snakemake plans for it."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from popinv.charts.saving import save_vectors
from popinv.figures.gallery.rule_graph import draw_rule_graph, read_jobs
from popinv.workflow.job import job
from popinv.workflow.resources import row_of

RULE = re.compile(r"^ *rule (\w+):", re.MULTILINE)
TITLE = "The default study: its rules and their dependencies"

with job(snakemake):
    folder = Path(snakemake.params.folder)
    # In an empty folder no job is done yet.
    with tempfile.TemporaryDirectory() as empty:
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(folder / "Snakefile"),
            "--configfile", str(folder / "config" / "config.yaml"), "--directory", empty,
            "--workflow-profile", "none", "--cores", "1", "--dag",
        ]  # fmt: skip
        planned = subprocess.run(command, cwd=empty, capture_output=True, text=True)
    print(planned.stderr)
    planned.check_returncode()
    groups = {
        rule: file.stem
        for file in sorted((folder / "workflow" / "rules").glob("*.smk"))
        for rule in RULE.findall(file.read_text())
    }
    graph = read_jobs(planned.stdout)
    groups |= {rule: groups[row_of(rule)] for rule in graph.levels}
    save_vectors(draw_rule_graph(graph, groups, TITLE), Path(snakemake.output.rules))
