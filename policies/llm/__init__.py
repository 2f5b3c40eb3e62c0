"""Language models as policies: in-context decisions by llama.cpp, and the training of the bundled model."""
