"""Models that read and write text: the paper's prompt, a grammar, an action matrix."""
