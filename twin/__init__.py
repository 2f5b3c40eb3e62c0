"""What the cloud believes: reports, estimates with bias and age, the snapshot, and the process that decides."""
