# Runs the probing trial under NNI's own keeper, as NNI's training services for clusters do: the SDK writes to standard output, and
# the keeper sends what it reads there. The port is that of the experiment's API.
port=$(sed 's/.*"url":"[^"]*:\([0-9]*\)".*/\1/' "$NNI_SYS_DIR/../../rest.json")
NNI_PLATFORM=pai exec python3 -m nni.tools.trial_tool.trial_keeper --trial_command 'python3 trial.py' \
    --nnimanager_ip 127.0.0.1 --nnimanager_port "$port" --nni_manager_version 2.10 --log_collection http
