"""How long torch's threads wait for each other before they let others work.

A matrix product is shared among threads, which then wait until the last has done its part. GNU's
OpenMP, which torch computes with on Linux, waits by looking again and again, 300,000 times by
default: the quickest way as long as every thread has a core of its own. Where another program takes
one of the cores away, the waiting threads use up the time that the missing one needs.

Measured on two cores of an AMD EPYC (torch 2.13), milliseconds a training step of the base model:

    times to look                  300,000    10,000
    alone                               92        95
    beside two busy programs           303       268
    three trainings at once          1,056       400 to 700 (30,000)    290 to 410 (3,000)

Importing this module sets the number, unless the environment already does. It has to come before
torch is loaded, and so is the first import of the package.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")
