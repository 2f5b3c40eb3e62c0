"""Cases: examples of decisions, and the policies that decide by them."""
