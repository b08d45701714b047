"""The grader: runs a learner's functions apart from everything else and says what they compute.

Read in this order: task.py (what an exercise is), values.py (how inputs and answers travel),
child.py and its neighbours (where a submission runs), judge.py (one task's verdict), diagnosis/
(which property broke). lessons/exercises/ has the definitions.
"""
