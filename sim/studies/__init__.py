"""Many runs: policies compared on common random numbers, grids of scenarios, and what they say."""
