"""Stages of the workflow that concern the forward model.

Each module holds one function, which has the name of the module and of the workflow's rule. It
takes sections, arrays and Datasets and returns Datasets; it reads and writes no file. A module of
its own for each lets a rule depend on the code of its stage alone.
"""
