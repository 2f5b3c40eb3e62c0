"""The bundled model: numbers as words, cases as columns, and its training."""
