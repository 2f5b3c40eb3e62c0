"""Learned policies: actors, their trainers and their weights. All modules need the extra "marl".

Read `apg` first, the simplest trainer, then `maddpg` and `ddpg`, which learn from `experience`. `features` and
`actions` are input and output of all actors, `acting` decides with them, and `training` holds what all trainers share.
"""
