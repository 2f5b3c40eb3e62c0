"""Which policies fit a scenario: each is made and got ready for it, which is where it refuses."""

from __future__ import annotations

from typing import NamedTuple

from physical.errors import InputError
from policies.api import Closes
from policies.foreign.mistakes import named, offers
from policies.registry import PolicySpec, make, specs
from sim.scenario.scenario import Scenario


class Fit(NamedTuple):
    """What a policy says about a scenario.

    spec : the policy
    reason : why it does not fit; "" if it does
    """

    spec: PolicySpec
    reason: str

    @property
    def fits(self) -> bool:
        """Whether the policy can decide in the scenario."""
        return not self.reason


def fits(scenario: Scenario) -> list[Fit]:
    """Ask every policy that has a name, with its options as they are by default.

    A policy whose extra is not installed is not imported.
    """
    system = scenario.system()
    found = []
    for spec in specs().values():
        reason = ""
        try:
            policy = make(spec.name, where="")
            try:
                policy.reset(system, 0)
            finally:
                if offers(policy, Closes):
                    policy.close()  # type: ignore[attr-defined]  # seen just now
        except InputError as error:
            reason = _told(error, spec.name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # somebody else's policy may raise whatever it likes
            reason = named(error)
        found.append(Fit(spec, " ".join(reason.split())))
    return found


def _told(error: InputError, name: str) -> str:
    """Return an error without what the list says anyway: where the policy was named, and its name."""
    places = [place for place in (error.where, error.key) if place not in {"", "--policy", name}]
    return str(InputError(": ".join([*places, error.problem]), accepted=error.accepted))
