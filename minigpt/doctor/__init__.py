"""`minigpt doctor`: looks at the machine and the installation, and says how to mend what is wrong.

Each file makes one kind of check. It gathers facts, and a function of these facts alone judges
them, so that every verdict can be tried on any machine. But for packaging nothing here loads a
package in its own process: what may be missing or broken is tried in a child process (child.py).
"""
