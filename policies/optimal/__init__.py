"""Solvers of P2 (eq. 24 of the dtecn paper), in consistent units, with a certificate.

Tasks i = (n, k), M = N K of them: D bytes, c cycles/byte, deadline T, work W = D c; vehicle f Hz and kappa W/Hz^3, so
that local work takes L = W / f; upload of the whole task u; server F Hz with N_E cores and kappa_se; slot tau; backlog
q_k counted in Q0 = N mean D; estimation bias delta, so that an allocation x really serves at y = x + delta, and what
counts is v = y (capacity rule "effective") or v = x ("alloc", literal)::

    min over omega in [0, 1], x >= 0 of
        sum [omega Q - s v] - w_U mean(1 - t / T) + w_E [sum kappa f^2 W (1 - omega) + sigma N_E kappa_se (V / N_E)^3]
        + P_m mean(1[t > T]),    Q = beta (q_k / Q0) (D / Q0),   s = beta (q_k / Q0) tau / (c Q0),   V = sum v

with V <= F, or F - sum delta by "alloc"; a task without an allocation has v = 0.
Sequential tasks take t = (1 - omega) L + U + omega W / y, parallel ones t = max((1 - omega) L, U + omega W / y); U is
the upload of what is charged.

A task can be part of an optimum in a few ways, its *options*: idle, full, with a binding deadline, or with both parts
ending together. Each option costs ``C0 + a / (v + z) + k v - s v`` in the capacity v that it takes. At a price p on
capacity, each task takes its cheapest option at its best v. The sum of these costs is a lower bound for every p, and it
is concave in p. The options on both sides of the best price, and flips of single tasks between them, give an incumbent.
Branch and bound closes the gap that is left.

Read the files in this order:

tasks : constants of a slot; options, menu : the options and their best v at a price; dual : the bound;
recover : incumbents; branch : the search; realise : from options to a decision; p2_exact, p2_slsqp : the policies
"""
