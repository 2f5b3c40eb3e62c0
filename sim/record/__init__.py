"""What is kept of a run: one file for each kind of row, and the order in which they are written."""
