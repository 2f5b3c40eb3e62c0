"""Makes a self-contained page about runs."""

from sim.show.report.write import write_report

__all__ = ["write_report"]
