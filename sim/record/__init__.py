"""Records a run: one file for each table of the trace, and sums for the summary.

Read `recorder` first, which writes the tables block by block. The other files make the rows of a table or sums over it.
"""
