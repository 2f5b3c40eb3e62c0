"""Training of the bundled model: slots of random environments, the network, the loss, and the export to GGUF.

Read `train` first, the whole training, then `dataset` with `labels`, `network`, `learn`, `export` and `verify`.
"""
