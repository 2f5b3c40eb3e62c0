"""Cases are examples of decisions; here are the policies that decide by them.

Read `case` first, then `memory` (the cases of a run) with `selection`, `file` (case sets on disk), and `policies`.
"""
