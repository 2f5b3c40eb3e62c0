"""Learned policies: actors, their trainers and their weights; all but the names here needs the extra "marl"."""
