"""Says in a sentence or two what a wrong function computes, without knowing the mistake.

Read finding.py first; each other file is a family of findings. `diagnose` runs them all on the
answers there are, tests what they say on fresh inputs, and returns what stands the test.
"""

from lessons.grading.diagnosis.engine import diagnose
from lessons.grading.diagnosis.finding import Finding

__all__ = ["Finding", "diagnose"]
