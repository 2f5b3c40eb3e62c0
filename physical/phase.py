"""The order of things that happen at the same instant: SimPy's priority field, smallest first."""

from enum import IntEnum


class Phase(IntEnum):
    """Priority of an event; 0 is left to SimPy's own process starts.

    Work that ends at T ends before anything else changes at T; then the world changes, then what waits is looked at,
    then vehicles report, then the twin decides, then its commands take effect, and impatience comes last.

    The columns bring all tasks up to date at once, in this order; the entities have an event for each of these phases:

    - Uploads that are ready at T enter an uplink together, after what was sent by T (UPLINK_ENTRY), and tasks that
      reach a server at T enter its queues together, after what was served by T (QUEUE_ENTRY).
    - What the commands of one instant say about the radio takes effect together (RATES), then uploads are charged that
      are charged when a task starts (CHARGE).
    - Tasks that reach a server in the very instant in which they started enter after all commands of T (LATE_ENTRY).
    """

    UPLOAD_DONE = 1
    UPLINK_ENTRY = 2
    SERVICE_DONE = 3
    QUEUE_ENTRY = 4
    FAULT = 5
    TICK = 6
    OBSERVE = 7
    REPORT = 8
    RELAY = 9
    DECIDE = 10
    SEND_COMMAND = 11
    SERVER_COMMAND = 12
    VEHICLE_COMMAND = 13
    RATES = 14
    CHARGE = 15
    PATIENCE = 16
    LATE_ENTRY = 17
