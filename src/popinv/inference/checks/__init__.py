"""Tests of a fitted model, and comparisons of models."""
