"""Makes a self-contained HTML page about runs, a comparison or a sweep.

Read `write` first: it finds out what the folders hold and calls `page`, `compared` or `swept`. A page consists of tiles
(`tiles`, `beside`), charts (`charts`, `series`), tables (`ranking`, `summary`) and a map (`motion`, `live`).
"""

from sim.show.report.write import write_report

__all__ = ["write_report"]
