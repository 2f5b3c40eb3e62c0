"""The inputs of a run, which no decision changes: motion, channels, tasks, and the fate of messages.

Read `blocks` first: it puts the inputs of some slots together. The other files draw them, or read them from files.
"""
