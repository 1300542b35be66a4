"""The peers' sides of the benchmarks, written as their users write them.

They share no solver code with the package, so that the tests also use them to check it.
"""
