"""Pieces of work timed beside their peers; `python -m benchmarks` runs them.

Each module but the framework's (`rows`, `measure`, `machine`, `report`, `runner`) holds one piece
of work and has a function ``rows()``; the peers' sides are in `benchmarks.peers`.
docs/benchmarks.md says what each row compares and how to read it. `scaling` and `answer_solves`
are commands of their own and have no rows.
"""
