"""Doctests of this folder need the extra that builds the site."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("mkdocs") and find_spec("latex2mathml") else ["*.py", "tools/*.py"]
