"""Stages of the workflow that draw figures.

Each module holds one function, which has the name of the module and of the workflow's rule.
"""
