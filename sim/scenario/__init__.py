"""What a scenario is: its keys, the rules across them, files that it names, and the built-in ones."""
