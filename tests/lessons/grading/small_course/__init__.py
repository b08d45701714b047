"""Three exercises that are quickly checked, and calls that put solutions of them together."""
