"""Shows runs and comparisons: tables on a terminal, HTML pages, figures, and files for other tools.

`terminal` and `compared` print, `report` writes HTML pages, `figures` draws the papers' figures, and `export` writes
trace events and CSV files. These four do not depend on each other.
"""
