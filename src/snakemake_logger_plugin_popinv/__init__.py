"""The plugin by which Snakemake finds what ``popinv run`` prints: ``snakemake --logger popinv``.

Every Snakemake of this environment imports its plugins. This one therefore imports what it needs
when it is chosen.
"""

from __future__ import annotations

from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase


class LogHandler(LogHandlerBase):
    """Hands Snakemake's events to what popinv prints of a run, or of a dry run."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Take the terminal."""
        from popinv.workflow.display import Display
        from popinv.workflow.dry_run import DryRun

        self.display = DryRun() if self.common_settings.dryrun else Display()

    def emit(self, record: LogRecord) -> None:
        """Take an event."""
        try:
            self.display.take(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.display.close()
        super().close()
