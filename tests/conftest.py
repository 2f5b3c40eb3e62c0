"""Shared test set-up: property tests draw the same examples on every run and leave no database behind."""

from hypothesis import settings

settings.register_profile("vectwin", derandomize=True, deadline=None, database=None)
settings.load_profile("vectwin")
