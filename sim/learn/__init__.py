"""Learning: environments for training, the training of policies, and the building of case sets.

`batch` and `env` are environments, `train` connects scenarios to the trainers of `policies.marl`, and `build_cases`
keeps decisions of a run as cases.
"""
