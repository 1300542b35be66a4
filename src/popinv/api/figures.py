"""The figures of a result, by name, as a notebook shows them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError, nearest
from popinv.figures.names import FIGURES
from popinv.figures.study import draw

if TYPE_CHECKING:
    import xarray as xr

    from popinv.api.result import Result


# Figures that only a result with rounds of a surrogate has.
_OF_SURROGATES = ("surrogate_error", "solver_calls")
# Dots per inch of a notebook's pictures.
_DPI = 110


class Figures(dict[str, Figure]):
    """Figures by name; a notebook shows all of them."""

    def _repr_html_(self) -> str:
        return "".join(
            f'<figure><img src="data:image/png;base64,{_png(figure)}" '
            f'alt="{escape(name.replace("_", " "))}" style="max-width: 100%"></figure>'
            for name, figure in self.items()
        )


@dataclass(frozen=True)
class Plots:
    """The figures of a result: ``plot("law")`` by name, ``plot.individuals()`` of its systems."""

    result: Result

    def __call__(self, *names: str) -> Figures:
        """Draw the figures of the workflow.

        Parameters
        ----------
        *names : str
            ``observations``, ``examples``, ``individual_fits``, ``law``, ``noise_covariance``,
            ``descent``, ``surrogate_error`` or ``solver_calls``. By default, all that the result
            has; one without a surrogate has neither of the last two.

        Returns
        -------
        dict of str to matplotlib.figure.Figure
            A notebook shows them.

        Raises
        ------
        ConfigError
            If there is no such figure, or the simulator was not stored.
        """
        artefacts, population = self.result.artefacts, self.result.population
        absent = [] if "surrogate" in artefacts else [*_OF_SURROGATES]
        absent += [] if "loss" in population else ["descent"]
        there = [name for name in FIGURES if name not in absent]
        for name in names:
            if name not in there:
                raise ConfigError(
                    f"the result has no figure '{name}'.{nearest(name, there)} Its figures are "
                    f"{', '.join(there)}."
                )
        problem = self.result.problem
        return Figures({name: draw(name, problem, artefacts) for name in names or there})

    def individuals(self) -> Figures:
        """Draw the fits of single systems, and how well all observations are fitted.

        The systems are the nine with the largest and the nine with the smallest residuals. Their
        individual predictions are at the modes of their posteriors.

        Returns
        -------
        dict of str to matplotlib.figure.Figure
            A notebook shows them.

        Raises
        ------
        DivergenceError
            If no mode can be found.
        """
        from popinv.api.individuals import fits

        return Figures(fits(self.result))

    def predictions(self, predicted: xr.Dataset) -> Figures:
        """Draw predicted systems: what was given, and the bands that hold 95 %.

        Parameters
        ----------
        predicted : Dataset
            From :meth:`popinv.api.result.Result.predict`.

        Returns
        -------
        dict of str to matplotlib.figure.Figure
            By the name of the system. A notebook shows them.
        """
        from popinv.methods.posterior.prediction_files import draw_prediction

        names = map(str, predicted["system"].values)
        return Figures({n: drawn(draw_prediction(predicted, i)) for i, n in enumerate(names)})

    def posterior(self, **settings: Any) -> Figures:
        """Draw the 95 % intervals of the parameters of single systems.

        Parameters
        ----------
        **settings
            The settings of :meth:`popinv.api.result.Result.posterior`.

        Returns
        -------
        dict of str to matplotlib.figure.Figure
            A notebook shows it.
        """
        from popinv.api.individuals import intervals

        return Figures({"posterior": intervals(self.result, settings)})


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return base64.b64encode(buffer.getvalue()).decode()
