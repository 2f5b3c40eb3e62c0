"""Learning: environments, the trainers at work, and case sets."""
