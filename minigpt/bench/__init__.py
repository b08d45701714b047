"""`minigpt bench`: times minigpt and other libraries in turn, on the same work."""
