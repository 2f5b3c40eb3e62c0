"""Policies of somebody else: found by path, kept apart, and known by what their code depends on."""
