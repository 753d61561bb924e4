"""Microsoft's own client against the fake: submits, streams, lists, cancels.

usage: sdk.py ADDRESSES-JSON CODE-FOLDER
"""

import contextlib
import io
import json
import os
import sys
import time
import uuid

addresses = json.loads(sys.argv[1])
os.environ["ARM_CLOUD_METADATA_URL"] = addresses["cloudMetadata"]
os.environ["AZUREML_CURRENT_CLOUD"] = "FakeCloud"

from azure.ai.ml import MLClient, command  # noqa: E402
from azure.ai.ml.entities import Environment  # noqa: E402
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError  # noqa: E402
from azure.identity import ClientSecretCredential  # noqa: E402

credential = ClientSecretCredential(
    addresses["tenant"],
    addresses["clientId"],
    addresses["clientSecret"],
    authority=addresses["login"],
    disable_instance_discovery=True,
)
client = MLClient(
    credential,
    addresses["subscription"],
    addresses["resourceGroup"],
    addresses["workspace"],
    cloud="FakeCloud",
)


def job(line, **more):
    return command(
        name=f"sdk-{uuid.uuid4().hex[:8]}",
        code=sys.argv[2],
        command=line,
        environment=Environment(image="docker.io/library/python:3.11"),
        compute=addresses["compute"],
        experiment_name="sdk",
        **more,
    )


def wait(name, wanted):
    for _ in range(600):
        status = client.jobs.get(name).status
        if status == wanted:
            return
        assert status not in ("Completed", "Failed", "Canceled"), f"{name} is {status}, not {wanted}"
        time.sleep(0.1)
    raise AssertionError(f"{name} never was {wanted}")


class Told(io.StringIO):
    """What was told; the first sight of a text lets a job go on that waits for a file."""

    def __init__(self, cue, file):
        super().__init__()
        self.cue, self.file = cue, file

    def write(self, text):
        if self.cue and self.cue in text:
            open(self.file, "w").close()
        return super().write(text)


def stream(name, cue="", file=""):
    told = Told(cue, file)
    with contextlib.redirect_stdout(told):
        client.jobs.stream(name)
    return told.getvalue()


# Submitted, with code that is uploaded; its output arrives while it runs: it goes on only when that was told.
go = os.path.abspath("go")
good = client.jobs.create_or_update(
    job("bash main.sh ${{inputs.rate}}", inputs={"rate": 0.5}, tags={"nni_exp_x": "1"}, environment_variables={"A": "b c", "GO": go})
)
text = stream(good.name, "A is b c", go)
assert "rate 0.5" in text and "A is b c" in text, text
wait(good.name, "Completed")
assert client.jobs.get(good.name).tags["nni_exp_x"] == "1"

# The same code is not uploaded again, and the same job is not started again.
again = client.jobs.create_or_update(job("bash main.sh 2", tags={"nni_exp_x": "2"}))
assert again.code == good.code, (again.code, good.code)
wait(again.name, "Completed")
listed = {one.name for one in client.jobs.list(tag="nni_exp_x")}
assert listed == {good.name, again.name}, listed

# One that fails is told so, with what the service says.
bad = client.jobs.create_or_update(job("echo broken; exit 3"))
try:
    stream(bad.name)
    raise AssertionError("a failed job was streamed as a good one")
except Exception as error:
    assert "exited with status code 3" in str(error), error

# One that is canceled ends as such.
long = client.jobs.create_or_update(job("sleep 600"))
wait(long.name, "Running")
client.jobs.begin_cancel(long.name).result()
wait(long.name, "Canceled")
try:
    client.jobs.begin_cancel(long.name).result()
    raise AssertionError("a job that has ended was canceled")
except HttpResponseError as error:
    assert error.status_code == 400, error

try:
    client.jobs.get("nobody")
    raise AssertionError("a job that is not there was found")
except ResourceNotFoundError:
    pass
print("ok")
