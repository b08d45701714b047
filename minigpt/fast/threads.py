"""Sets how long torch's threads wait for each other before they leave the core to others.

A matrix product is shared among threads, which then wait until the last has done its part. GNU's
OpenMP, which torch uses on Linux, waits by checking again and again, 300,000 times by default. That
is quickest as long as every thread has a core of its own. If another program takes one of the
cores, the waiting threads use up the time that the delayed one needs. With 10,000 checks three
trainings at once on two cores take half the time each, and one alone takes no longer
(`GOMP_SPINCOUNT=300000 minigpt train` runs with the default).
"""

import os


def wait_briefly() -> None:
    """Sets the number of checks, unless the environment does. Call it before torch is loaded."""
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
