"""The answer of a study: estimates as Datasets, with what was tested and what is reported."""
