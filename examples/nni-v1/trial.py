"""A trial as written for NNI 1.x: the same calls work with every later version."""

import nni

PARAMETERS = nni.get_next_parameter()
SCORE = 1.0 - PARAMETERS["dropout"] / PARAMETERS["units"]
for epoch in range(3):
    nni.report_intermediate_result(SCORE * (epoch + 1) / 3)
nni.report_final_result({"default": SCORE, "units": PARAMETERS["units"]})
