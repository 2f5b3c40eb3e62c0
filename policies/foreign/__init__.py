"""Policies of users: they are found by path, kept apart from the run, and identified by digests of their code.

Read `by_path` first (how a text names a class), then `contained` (what a run calls) with `answers`, `mistakes` and
`surroundings`. `origin` computes digests of a policy's code, with `closure`, `reached` and `loaded`.
"""
