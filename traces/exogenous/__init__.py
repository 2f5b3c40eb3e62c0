"""Exogenous traces: mobility, requests and link rates from elsewhere, checked and quantised once, where they come in.

>>> read_mobility("no/such/file.csv")
Traceback (most recent call last):
physical.errors.InputError: no/such/file.csv: there is no such file
"""

from traces.exogenous.columns import parse_map
from traces.exogenous.link import read_link
from traces.exogenous.mobility import read_fcd, read_mobility
from traces.exogenous.requests import read_requests
from traces.exogenous.schema import ExogenousTrace, LinkTrace, MobilityTrace, RequestTrace
from traces.exogenous.store import KINDS, import_file

__all__ = [
    "KINDS",
    "ExogenousTrace",
    "LinkTrace",
    "MobilityTrace",
    "RequestTrace",
    "import_file",
    "parse_map",
    "read_fcd",
    "read_link",
    "read_mobility",
    "read_requests",
]
