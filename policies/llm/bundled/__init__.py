"""The bundled model, which reads numbers as words, and its training.

Read `vocabulary` first, the model's language, then `engine`, which decides with `prompt_cache`, `reading` and `market`.
"""
