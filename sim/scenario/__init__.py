"""Scenarios: their keys, the rules across the keys, the files that they name, and the built-in ones.

Read `tables` first, the keys, then `scenario`, which loads and checks them, and `resolved`, which is what a run gets.
"""
