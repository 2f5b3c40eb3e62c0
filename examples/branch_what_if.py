"""What if? Replay a run exactly, then let another policy decide from 10 s on.

A branch is identical to its run before the given time: same traffic, same channels, same tasks, same decisions. So
everything that differs afterwards comes from the other policy. Tasks that are under way at that time may end
otherwise, so the mean penalty of the slots before it may change in its last digits.

    python branch_what_if.py
    twin branch runs/first --at 10 --policy p2-exact       # the same on the command line
"""

import numpy as np

from sim import replay
from vectwin import Scenario, run

AT_S = 10.0
result = run(Scenario.load("rush-hour", ["time.num_slot=200"]), policy="edge-equal", seed=3, out="runs/first")
found = replay.verify("runs/first")
print("replayed: identical" if found.difference is None else f"replayed: {found.difference}")

_, branch = replay.branch("runs/first", AT_S, "p2-exact")
before, after = (np.array(one.table("slots")["penalty"].to_pylist()) for one in (result, branch))
backlog_before, backlog_after = (
    np.array(one.table("slots")["backlog_bytes"].to_pylist()).sum(axis=1) / 1e6 for one in (result, branch)
)
first = int(np.flatnonzero(backlog_before != backlog_after)[0])
print(f"the server's backlog first differs in slot {first}, at {0.1 * first:.1f} s")
print("time, s     penalty: edge-equal, branch   backlog, MB: edge-equal, branch")
for begin in range(0, 200, 50):
    part = slice(begin, begin + 50)
    print(
        f"{begin / 10:4.0f} to {begin / 10 + 5:<4.0f}         {before[part].mean():6.2f} {after[part].mean():11.2f}"
        f"{backlog_before[part].mean():21.1f} {backlog_after[part].mean():12.1f}"
    )
