"""The world as it is: equations, processes and parameters."""
