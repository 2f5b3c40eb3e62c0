"""Models that read and write text: they get the paper's prompt and write an action matrix under a grammar.

Read `engine` first. It writes a `prompt`, sends it to a `worker`, which is a process with a `model`, and reads the
`matrix`.
"""
