"""The formulas of the physical world as pure functions on arrays with leading batch axes; each exists only here."""
