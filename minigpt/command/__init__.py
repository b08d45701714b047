"""The `minigpt` command: the only place that parses arguments."""
