"""The order of things that happen at the same instant: SimPy's priority field, smallest first."""

from enum import IntEnum


class Phase(IntEnum):
    """Priority of an event; 0 is left to SimPy's own process starts.

    Work that ends at T ends before anything else changes at T; then the world changes, then vehicles report,
    then the twin decides, then its commands take effect, and impatience comes last.

    No event of the columns has the phases UPLOAD_DONE, SERVICE_DONE, VEHICLE_COMMAND and PATIENCE: the columns bring
    all tasks up to date at once, in this order. A simulator with one process per task (the oracle of the tests) needs
    them for its events.
    """

    UPLOAD_DONE = 1
    SERVICE_DONE = 2
    FAULT = 3
    TICK = 4
    REPORT = 5
    RELAY = 6
    DECIDE = 7
    SEND_COMMAND = 8
    SERVER_COMMAND = 9
    VEHICLE_COMMAND = 10
    PATIENCE = 11
