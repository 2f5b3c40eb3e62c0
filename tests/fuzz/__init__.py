"""A mutation fuzzer: whatever a file or an argument holds, a command ends with 0, 1 or 2 and says why in one line.

One integer draws one mutant: inputs that the product made, a few mutations of them, and a command that reads them.
``python -m tests.fuzz --help`` tells how to run many, or one.
"""
