"""A learner from outside, here the cross-entropy method in NumPy, on the PettingZoo environments.

Every vehicle is an agent; all share one linear policy with a sigmoid. It learns on the fast environment, the closed
form of a slot, and is then measured on the event simulator, with messages and waiting. Any learner that knows
PettingZoo's ParallelEnv can take its place.

    pip install "vectwin[env]"
    python pettingzoo_learner.py
"""

import numpy as np

from sim.env import fast_parallel_env, parallel_env

NUM_SLOT, NUM_CANDIDATE, NUM_ELITE, NUM_ROUND = 10, 24, 6, 12


def episode(env, weights, seed):
    """Return the mean reward of a slot, over agents, with a linear policy [numbers seen + 1, numbers to decide]."""
    observations, _ = env.reset(seed=seed)
    rewards = []
    while env.agents:
        seen = np.stack([observations[agent] for agent in env.agents])
        with_one = np.concatenate([seen, np.ones((len(seen), 1))], axis=1)
        chosen = 1.0 / (1.0 + np.exp(-np.clip(with_one @ weights, -30.0, 30.0)))
        observations, reward, *_ = env.step(dict(zip(env.agents, chosen.astype(np.float32), strict=True)))
        rewards.append(np.mean(list(reward.values())))
    return float(np.mean(rewards))


def score(env, weights):
    """Return the mean reward on slots that the learner never sees."""
    return np.mean([episode(env, weights, seed) for seed in range(100, 104)])


env = fast_parallel_env("dtecn-congested", num_slot=NUM_SLOT, seed=1)
agent = env.possible_agents[0]
shape = (env.observation_space(agent).shape[0] + 1, env.action_space(agent).shape[0])
draws = np.random.default_rng(1)
mean, spread = np.zeros(shape), np.ones(shape)
print(f"before:   {score(env, mean):.2f}")
for step in range(1, NUM_ROUND + 1):
    candidates = mean + spread * draws.standard_normal((NUM_CANDIDATE, *shape))
    returns = [episode(env, weights, seed=step) for weights in candidates]  # one seed: the same slots for all
    best = candidates[np.argsort(returns)[-NUM_ELITE:]]
    mean, spread = best.mean(axis=0), best.std(axis=0) + 0.05
    if step % 4 == 0:
        print(f"round {step:2}: {score(env, mean):.2f}")

event = parallel_env("dtecn-congested", num_slot=30)
print(f"event simulator: {episode(event, np.zeros(shape), 1):.2f} before, {episode(event, mean, 1):.2f} after")
