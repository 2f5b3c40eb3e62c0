"""Makes pages of the reference from the code, docstrings readable, and mathematics MathML; no part of the site."""
