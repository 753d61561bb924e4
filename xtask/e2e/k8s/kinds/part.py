"""One pod's part of a trial of many pods.

The first pod (TensorFlow's worker 0, PyTorch's master) meets all others by the names that the operator has told it and then
runs `trial.py`. A parameter server serves for ever; a worker of PyTorch ends when it was met.
"""

import http.server
import json
import os
import runpy
import threading
import time
import urllib.request

WAIT = 0.2


class Answer(http.server.BaseHTTPRequestHandler):
    asked = []
    is_changed = threading.Condition()

    def do_GET(self):
        with Answer.is_changed:
            Answer.asked.append(self.path)
            Answer.is_changed.notify_all()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_):
        pass


def serve(port):
    server = http.server.ThreadingHTTPServer(("", int(port)), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def meet(address, what):
    """Asks until it is there: pods start in any order."""
    url = "http://%s/%s" % (address, what)
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.read().decode() == "/" + what
                return
        except OSError:
            time.sleep(WAIT)


def tensorflow():
    config = json.loads(os.environ["TF_CONFIG"])
    task, cluster = config["task"], config["cluster"]
    if task["type"] == "ps" or task["index"] > 0:
        serve(cluster[task["type"]][task["index"]].rsplit(":", 1)[1])
        threading.Event().wait()
    for role, addresses in cluster.items():
        for index, address in enumerate(addresses):
            if (role, index) != (task["type"], task["index"]):
                meet(address, "%s-%d" % (role, index))


def pytorch():
    # Kubeflow Trainer tells `torchrun`, the operators before it told the program itself.
    names = ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]
    if "PET_NODE_RANK" in os.environ:
        names = ["PET_NODE_RANK", "PET_NNODES", "PET_MASTER_ADDR", "PET_MASTER_PORT"]
    rank, size, address, port = [os.environ[name] for name in names]
    if int(rank) > 0:
        meet("%s:%s" % (address, port), "rank-" + rank)
        raise SystemExit(0)
    serve(port)
    with Answer.is_changed:
        Answer.is_changed.wait_for(lambda: len(set(Answer.asked)) == int(size) - 1)


if "TF_CONFIG" in os.environ:
    tensorflow()
else:
    pytorch()
runpy.run_path("trial.py", run_name="__main__")
