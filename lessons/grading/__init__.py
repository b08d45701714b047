"""The grader: runs a learner's functions apart from everything else and says what they compute.

Read in this order: task.py (what an exercise is), values.py (how inputs and answers travel),
child.py and its neighbours (where a submission runs), judge.py (one task's verdict), diagnosis/
(which property broke). lessons/exercises/ has the definitions.

What learners and teachers touch: check.py (a file, exercise by exercise), report.py (what is read),
stub.py and workbook.py (what one starts from), watch.py, notebook.py; many.py, tables.py,
gradescope.py and handout.py for a class; bank_audit.py, which tries the grader on itself.
"""
