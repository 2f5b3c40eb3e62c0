"""The simulator to read: vehicles, stations and servers as SimPy processes, one event for each thing that happens.

Begin with `vehicle`, whose method `live` is the life of a task; then `service`, what several tasks want at once;
`server`, where offloaded work is done; `station` and `link`, over which reports and commands go. Times are ticks
(`physical.ticks`); `physical.phase` orders what happens at one instant. `physical.columns` does the same for thousands
of vehicles at once. docs/explanation/how-the-simulator-works.md follows one task through these files.
"""
