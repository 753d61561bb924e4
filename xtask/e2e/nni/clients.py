"""NNI's own clients against the HTTP API: the Python client, and `nnictl` with its list of experiments pointed at the port.

Called with the port; the home directory is the test's own. Every mistake is an exception, so the exit code says how it went.
"""

import json
import os
import subprocess
import sys
import time

import requests
from nni.experiment import Experiment
from nni.tools.nnictl.config_utils import Experiments

PORT = int(sys.argv[1])
DEADLINE = 120


def check(is_so, *what):
    if not is_so:
        raise AssertionError(what)


def wait(what, look):
    began = time.monotonic()
    while True:
        found = look()
        if found:
            return found
        check(time.monotonic() - began < DEADLINE, "did not come:", what)
        time.sleep(0.1)


def running(experiment):
    return [job for job in experiment.list_trial_jobs() if job.status == "RUNNING"]


def nnictl(*arguments):
    # `python -m nni.tools.nnictl.nnictl` does nothing: the entry point calls `parse_args`.
    program = "from nni.tools.nnictl.nnictl import parse_args; parse_args()"
    ran = subprocess.run([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    text = ran.stdout.decode()
    print("$ nnictl", *arguments, "\n" + text)
    check(ran.returncode == 0 and "ERROR" not in text and "Traceback" not in text, arguments, text)
    return text


def python_client():
    experiment = Experiment.connect(PORT)
    check(experiment.get_status() == "RUNNING", experiment.get_status())
    wait("four running trials", lambda: len(running(experiment)) == 4)
    experiment.update_trial_concurrency(8)
    wait("eight running trials", lambda: len(running(experiment)) == 8)
    experiment.update_max_experiment_duration("2h")
    experiment.update_max_trial_number(32)
    params = experiment.get_experiment_profile()["params"]
    found = (params["trialConcurrency"], params["maxTrialNumber"], params["maxExperimentDuration"])
    check(found == (8, 32, "7200s"), found)
    jobs = experiment.list_trial_jobs()
    check([job.sequenceId for job in jobs] == list(range(8)), jobs)
    check(all(job.hyperParameters[0].parameters for job in jobs), jobs)
    check(experiment.get_trial_job(jobs[3].trialJobId).sequenceId == 3)
    statistics = {entry["trialJobStatus"]: entry["trialJobNumber"] for entry in experiment.get_job_statistics()}
    check(statistics == {"RUNNING": 8}, statistics)
    wait("all intermediate results", lambda: sum(map(len, experiment.get_job_metrics().values())) == 16)
    metrics = experiment.get_job_metrics(jobs[0].trialJobId)[jobs[0].trialJobId]
    check([(m.type, m.sequence, m.data) for m in metrics] == [("PERIODICAL", 0, 0), ("PERIODICAL", 1, 1)], metrics)
    space = dict(params["searchSpace"])
    space["added"] = {"_type": "choice", "_value": [77]}
    experiment.update_search_space(space)
    return experiment, jobs


def command_line(experiment, jobs):
    profile = experiment.get_experiment_profile()
    record = experiment.get_experiment_metadata(experiment.id)
    Experiments().add_experiment(
        experiment.id, PORT, profile["startTime"], "local", "clients", status="RUNNING", pid=record["pid"], logDir=record["logDir"]
    )
    check(experiment.id in nnictl("experiment", "list"))
    check("RUNNING" in nnictl("experiment", "status", experiment.id))
    check("clients" in nnictl("experiment", "show", experiment.id))
    check(jobs[0].trialJobId in nnictl("trial", "ls", experiment.id))
    nnictl("update", "trialnum", experiment.id, "--value", "32")
    nnictl("update", "concurrency", experiment.id, "--value", "8")
    nnictl("update", "duration", experiment.id, "--value", "1h")
    check(experiment.get_experiment_profile()["params"]["maxExperimentDuration"] == "3600s")
    nnictl("trial", "kill", experiment.id, "--trial_id", jobs[1].trialJobId)
    wait("the end of a trial", lambda: experiment.get_trial_job(jobs[1].trialJobId).status == "USER_CANCELED")


def to_the_end(experiment):
    url = "http://localhost:{}/api/v1/nni".format(PORT)
    own = requests.post(url + "/trial-jobs", json={"own": 1}, timeout=20)
    check(own.status_code == 200, own.text)
    results = [{"parameter": job.hyperParameters[0].parameters, "value": 5} for job in experiment.list_trial_jobs()[:2]]
    imported = requests.post(url + "/experiment/import-data", json=results, timeout=20)
    check(imported.status_code == 200 and imported.content == b"", imported.text)
    check(len(experiment.list_trial_jobs()) <= 32)
    open(os.path.join(os.path.expanduser("~"), "go"), "w").close()
    wait("the last trial but those that run", lambda: len(experiment.export_data()) >= 20)
    jobs = {job.trialJobId: job for job in experiment.list_trial_jobs()}
    for result in experiment.export_data():
        job = jobs.get(result.trialJobId)
        check(result.value["parameters"] == len(result.parameter), result)
        check(job is None or result.value["default"] == job.sequenceId, result, job)
    own = [job for job in jobs.values() if job.hyperParameters[0].parameter_source == "customized"]
    check([job.hyperParameters[0].parameters for job in own] == [{"own": 1}], own)


experiment, jobs = python_client()
command_line(experiment, jobs)
to_the_end(experiment)
print(json.dumps({"ok": True}))
