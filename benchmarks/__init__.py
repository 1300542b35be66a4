"""Pieces of work timed beside their peers; `python -m benchmarks` runs them.

Each module but the framework's (`rows`, `measure`, `machine`, `report`, `runner`) holds one piece
of work and has a function ``rows()``; the peers' sides are in `benchmarks.peers`.
docs/measurement_tables.md has the results and says how to read them. `scaling` and `answer_solves`
are commands of their own and have no rows.
"""
