"""Energy of vehicles, server and radio; in paper 'dtecn' the radio is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from physical.model.arrays import Array

if TYPE_CHECKING:
    from physical.params import EdgeEnergyRule


def local_energy_j(cycles: Array, frequency_hz: Array, kappa: Array) -> Array:
    """Return the energy of local work: ``kappa f^2 cycles``, which is ``f^3 kappa t`` with ``t = cycles / f``.

    Parameters
    ----------
    cycles : [...], cycles
    frequency_hz : [...], Hz
    kappa : [...], W/Hz^3, effective switching capacitance

    Returns
    -------
    [...], J

    **Source** paper 'dtecn', summand of eq. 14, rewritten so that f = 0 needs no care.

    >>> round(local_energy_j(312.5e6, 5e9, 1e-28), 9)
    0.78125
    """
    return kappa * (frequency_hz * frequency_hz) * cycles


def edge_job_energy_j(cycles: Array, frequency_hz: Array, num_core: Array, kappa: Array) -> Array:
    """Return the energy of a job at a server: ``kappa (x / N_E)^2 cycles``.

    The job is spread evenly over the cores, as eq. 15 of 'dtecn' spreads all of them: a server that runs one job all
    the time takes the power of eq. 15.

    Parameters
    ----------
    cycles : [...], cycles
    frequency_hz : [...], Hz, x, what the server really gives the job
    num_core : [...], no unit, number of cores N_E
    kappa : [...], W/Hz^3, effective switching capacitance of a core

    Returns
    -------
    [...], J

    **Source** paper 'llm6g', eq. 8, which has one core.

    >>> edge_job_energy_j(100.0, 20.0, 10, 0.5)
    200.0
    """
    core_hz = frequency_hz / num_core
    return kappa * (core_hz * core_hz) * cycles


def edge_power_w(total_hz: Array, num_core: Array, kappa: Array) -> Array:
    """Return the power of the server: ``N_E kappa (X / N_E)^3``.

    Products instead of a power: a Python float, a NumPy scalar and an array give the same bits.

    Parameters
    ----------
    total_hz : [...], Hz, sum X of what is counted (true speeds, or allocations), spread over the cores
    num_core : [...], no unit, number of cores N_E
    kappa : [...], W/Hz^3, effective switching capacitance

    Returns
    -------
    [...], W

    **Source** paper 'dtecn', eq. 15, which counts allocations; true speeds differ from them by the bias.

    >>> edge_power_w(20.0, 10, 0.5)
    40.0
    """
    core_hz = total_hz / num_core
    return num_core * kappa * (core_hz * core_hz * core_hz)


def edge_energy(power_w: Array, slot_duration_s: float, rule: EdgeEnergyRule) -> Array:
    """Return the edge term of the system energy: ``P slot`` in J ("energy"), or the number P itself ("power").

    Parameters
    ----------
    power_w : [...], W
    slot_duration_s : s
    rule : "energy" or "power"

    Returns
    -------
    [...], J; by the rule "power" a number of W that stands in for J

    Raises
    ------
    ValueError : an unknown `rule`, with its value

    **Source** paper 'dtecn', eqs. 15-16 add this power to the joules of eq. 14 (rule "power", literal).

    >>> edge_energy(5.0, 0.5, "energy"), edge_energy(5.0, 0.5, "power")
    (2.5, 5.0)
    """
    if rule == "energy":
        return power_w * slot_duration_s
    if rule == "power":
        return power_w
    raise ValueError(f"edge energy rule {rule!r} is not one of power, energy")


def transmit_energy_j(transmit_power_w: Array, duration_s: Array) -> Array:
    """Return the energy of a transmission: ``p t``.

    Parameters
    ----------
    transmit_power_w : [...], W
    duration_s : [...], s

    Returns
    -------
    [...], J

    **Source** paper 'llm6g', eq. 4, with ``t = bits / r``.

    >>> transmit_energy_j(2.0, 0.25)
    0.5
    """
    return transmit_power_w * duration_s
