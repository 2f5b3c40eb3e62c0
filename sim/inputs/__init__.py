"""All that is drawn or read before a slot begins: motion, channels, tasks, and the fate of messages."""
