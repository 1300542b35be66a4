"""Fewer draws where there are few systems."""

from few_draws import few_draws

__all__ = ["few_draws"]
