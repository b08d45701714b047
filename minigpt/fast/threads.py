"""How long torch's threads wait for each other before they let others work.

A matrix product is shared among threads, which then wait until the last has done its part. GNU's
OpenMP, which torch computes with on Linux, waits by looking again and again, 300,000 times by
default: the quickest way as long as every thread has a core of its own. Where another program takes
one of the cores away, the waiting threads use up the time that the missing one needs. With 10,000
looks three trainings at once on two cores take half the time each and one alone no longer
(`GOMP_SPINCOUNT=300000 minigpt train` runs as before).
"""

import os


def wait_briefly() -> None:
    """Sets the number of looks, unless the environment does. Call it before torch is loaded."""
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
