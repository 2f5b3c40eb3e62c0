"""The digital twin: reports, estimates with bias and age, the snapshot for policies, and the cloud that decides.

Read `cloud` first, which collects reports and decides once per slot, then `belief`, `snapshot` and `decision`.
"""
