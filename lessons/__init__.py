"""The course: each lesson is a numbered script that imports the library and shows it at work.

Importing it, before torch, sets how many threads torch starts, and how long they wait.
"""

from minigpt.fast.threads import share_cores

share_cores()
