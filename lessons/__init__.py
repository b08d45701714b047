"""The course: each lesson is a numbered script that imports the library and shows it at work.

Importing it, before torch, sets how long torch's threads wait for each other.
"""

from minigpt.fast.threads import wait_briefly

wait_briefly()
