"""The command: `python -m benchmarks [--only NAME] [--list] [--write-docs]`."""

import sys

from benchmarks.machine import confine

# Before NumPy, torch, JAX and PETSc are imported: they count the cores then.
confine()

from benchmarks.runner import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
