"""Reports the parameter `x` as its result, by NNI's SDK."""
import nni

x = nni.get_next_parameter()['x']
for step in range(4):
    nni.report_intermediate_result(x * step)
nni.report_final_result(x)
