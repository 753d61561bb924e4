"""azureml-mlflow in a job and outside, against the fake: what a run logs is what its watcher reads.

usage: metrics.py ADDRESSES-JSON CODE-FOLDER
"""

import json
import os
import sys
import time
import urllib.parse
import urllib.request

addresses = json.loads(sys.argv[1])
os.environ["ARM_CLOUD_METADATA_URL"] = addresses["cloudMetadata"]
os.environ["AZUREML_CURRENT_CLOUD"] = "FakeCloud"
workspace = addresses["arm"] + addresses["workspacePath"]


def post(url, data, token=None, method="POST"):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} if token else {}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request) as reply:
        return json.loads(reply.read() or b"{}")


form = {
    "grant_type": "client_credentials",
    "client_id": addresses["clientId"],
    "client_secret": addresses["clientSecret"],
    "scope": "https://management.azure.com/.default",
}
token = post(f"{addresses['login']}/{addresses['tenant']}/oauth2/v2.0/token", urllib.parse.urlencode(form).encode())
token = token["access_token"]
version = "?api-version=2024-10-01"


def put(path, properties):
    body = json.dumps({"properties": properties}).encode()
    return post(f"{workspace}/{path}{version}", body, token, "PUT")


environment = put("environments/python/versions/1", {"image": "python:3.11"})
# In the job only its environment says where to log.
program = """
import mlflow
with mlflow.start_run() as run:
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_param("rate", "0.5")
    mlflow.set_tag("mood", "good")
    mlflow.log_metrics({"a": 1, "b": float("nan")})
"""
put(
    "jobs/logs",
    {
        "jobType": "Command",
        "command": f"exec {sys.executable} -c '{program}'",
        "environmentId": environment["id"],
        "experimentName": "metrics",
        "environmentVariables": {
            name: os.environ[name]
            for name in ("ARM_CLOUD_METADATA_URL", "AZUREML_CURRENT_CLOUD", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NO_PROXY")
            if name in os.environ
        },
    },
)
for _ in range(1200):
    job = post(f"{workspace}/jobs/logs{version}", None, token, "GET")
    status = job["properties"]["status"]
    if status in ("Completed", "Failed", "Canceled"):
        break
    time.sleep(0.1)
details = post(
    f"{addresses['arm']}/history/v1.0{addresses['workspacePath']}/runs/logs/details", None, token, "GET"
)
with urllib.request.urlopen(details["logFiles"]["user_logs/std_log.txt"]) as log:
    text = log.read().decode()
assert status == "Completed", (status, text)

# Outside, the plain client of MLflow with a token for Resource Manager.
os.environ["MLFLOW_TRACKING_TOKEN"] = token
import mlflow  # noqa: E402

client = mlflow.MlflowClient(f"{addresses['arm']}/mlflow/v2.0{addresses['workspacePath']}")
run = client.get_run("logs")
assert run.info.status == "FINISHED", run.info
assert run.data.params == {"rate": "0.5"}, run.data
assert run.data.tags["mood"] == "good", run.data
history = [(one.step, one.value) for one in client.get_metric_history("logs", "loss")]
assert history == [(0, 1.0), (1, 0.5), (2, 1 / 3)], history
assert run.data.metrics["a"] == 1 and run.data.metrics["b"] != run.data.metrics["b"], run.data
print("ok")
