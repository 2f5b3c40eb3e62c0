"""The one exception that users see: what is wrong, where, and what would be right."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input of a user; the command line prints it as one line and exits with code 2.

    Parameters
    ----------
    problem : what is wrong, with the offending value
    where : file, or kind of input (``"--policy"``)
    key : dotted key inside `where`, if any
    accepted : what would have been accepted

    >>> print(InputError("-3 is not positive", where="a.toml", key="time.num_slot", accepted="an integer >= 1"))
    a.toml: time.num_slot: -3 is not positive (accepted: an integer >= 1)
    """

    def __init__(self, problem: str, *, where: str = "", key: str = "", accepted: str = "") -> None:
        self.problem = problem
        self.where = where
        self.key = key
        self.accepted = accepted
        super().__init__(problem)

    def __str__(self) -> str:
        place = [part for part in (self.where, self.key) if part]
        text = ": ".join([*place, self.problem])
        return f"{text} (accepted: {self.accepted})" if self.accepted else text


_VALID = {"a valid number": "a number", "a valid integer": "an integer", "a valid boolean": "true or false"}


def expected(message: str) -> str:
    """Return the expected value in a message of pydantic.

    >>> expected("Input should be a valid number, unable to parse string as a number")
    'a number'
    """
    found = message.removeprefix("Value error, ").removeprefix("Input should be ").partition(",")[0]
    return _VALID.get(found, found)
