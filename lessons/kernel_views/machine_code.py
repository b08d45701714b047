"""What the compiler made of the kernels: all that lesson 10 shows of it, as JSON.

    python -m lessons.kernel_views.machine_code     # for sm_90; no GPU is needed

Lesson 10 interprets kernels, so it asks this process, which compiles them: one for everything,
since loading torch takes seconds.
"""

from __future__ import annotations

import json

from kernels.machine_code.measure import table
from lessons.kernel_views import lookup_costs, read_machine_code

KERNELS = ("quantize", "quantize_fast", "dequantize", "dequantize_fast")

if __name__ == "__main__":
    shown = {
        "rows": [row._asdict() for row in table(("sm_90",), KERNELS)],
        "listing": read_machine_code.listing(),
        "lookups": lookup_costs.count_all(),
    }
    print(json.dumps(shown))
