"""Training of the bundled model: slots of random environments, the network, the loss, export to GGUF."""
