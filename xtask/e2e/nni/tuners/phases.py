"""Takes parameters three times by NNI's SDK, and reports each `x` as the result of its parameters."""
import nni

for n in range(3):
    parameters = nni.get_next_parameter()
    if parameters is None:
        break
    nni.report_intermediate_result(parameters['x'] * n)
    nni.report_final_result(parameters['x'])
