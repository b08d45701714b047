"""`minigpt bench`: our speed beside the peers', in turn."""
