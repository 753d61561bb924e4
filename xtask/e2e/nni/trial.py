"""Uses all of NNI's trial SDK and keeps its own record of what it was given and what it reported.

The record lies beside the trial's other files: one line of JSON for each fact, written before the SDK is asked to send it.
"""

import json
import math
import os
import sys
import time

import nni
import numpy

RECORD = os.path.join(os.environ["NNI_SYS_DIR"], "record.jsonl")


def note(**fact):
    with open(RECORD, "a") as record:
        record.write(json.dumps(fact) + "\n")


def plain(value):
    """The value without NumPy's types; NaN as null, as the checker reads it."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, numpy.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def intermediate(value):
    note(kind="PERIODICAL", value=plain(value))
    nni.report_intermediate_result(value)


def main():
    parameters = nni.get_next_parameter()
    sequence_id = nni.get_sequence_id()
    note(
        parameters=parameters,
        trial=nni.get_trial_id(),
        experiment=nni.get_experiment_id(),
        sequence=sequence_id,
    )
    for value in [
        0.5,
        numpy.float64(0.25),
        numpy.float32(0.125),
        numpy.int64(7),
        float("nan"),
        {"default": 1, "x": float("nan"), "k": "it's"},
    ]:
        intermediate(value)
    for step in range(parameters["steps"]):
        intermediate({"default": step * 0.1, "note": "step 'n' \"%d\" \u00fc" % step})
        time.sleep(parameters["pause"])
    final = {"default": numpy.float64(sequence_id + 0.5), "k": "it's"} if sequence_id % 2 else sequence_id + 0.5
    note(kind="FINAL", value=plain(final))
    nni.report_final_result(final)
    if sequence_id == 3:
        print("ends with an exit code of its own", file=sys.stderr)
        sys.exit(3)


main()
