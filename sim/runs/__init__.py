"""One run: from a scenario and a policy to a trace and a summary; and runs that are replayed."""
