# Begins a trial, or an instance of one, in its container. Set before: ts_dir (folder of the trial), ts_seat (that of the instance, or
# the same), ts_code (package), ts_output, ts_grace (seconds), and ts_mark: what tells this container from the others of the trial, or
# nothing, where nothing does.
#
# Needs a POSIX sh, tar, mv, mkdir and sleep. A redirection that fails must not end us, so it is never one of `:`, a special builtin.
ts_die() {
    printf 'tsctl: %s\n' "$1" >&2
    { printf '%s\n' "$1" >"$ts_dir/.nni/failure"; } 2>/dev/null
    exit 114
}

cd "$ts_seat" || ts_die "there is no folder of the trial: $ts_seat"
# Whoever takes this file runs the trial. The platform may start a job again that lost its node; a trial reports once.
# Our own name on it: on NFS a rename may be done and yet be told as failed, when its answer was lost.
ts_taken=.nni/started.${ts_mark:-0}
if mv .nni/ready "$ts_taken" 2>/dev/null || { [ -n "$ts_mark" ] && [ -e "$ts_taken" ]; }; then
    true
else
    for ts_file in .nni/started.*; do
        if [ -e "$ts_file" ]; then true >"$ts_dir/.nni/again"; fi
    done
    printf 'tsctl: this trial was begun before, or is not wanted any more\n' >&2
    exit 113
fi
if [ ! -d code ]; then
    rm -rf code.new
    { mkdir code.new && tar -xf "$ts_code" -C code.new; } || ts_die "cannot unpack $ts_code to $ts_seat"
    mv code.new code || ts_die "cannot write to $ts_seat"
fi
mkdir -p "$ts_output" || ts_die "cannot write to $ts_output"

# A session of its own, and with it a group of this number, so that a request to end reaches all of it.
if command -v setsid >/dev/null 2>&1; then
    setsid sh run.sh &
    ts_group=-
else
    sh run.sh &
    ts_group=
fi
ts_job=$!
# No `--`: dash takes it for a number.
ts_end() {
    true >"$ts_dir/.nni/ended"
    kill -TERM "$ts_group$ts_job"
    sleep "$ts_grace"
    kill -KILL "$ts_group$ts_job"
}
# The request to end comes over the storage: what Kubernetes sends to a container reaches its first process only.
(
    trap - TERM INT
    exec >/dev/null 2>&1 </dev/null
    while sleep 1; do
        # Reading the folder makes NFS ask its server; a mere look may be answered from a cache.
        for ts_file in "$ts_dir"/.nni/*; do
            [ "$ts_file" = "$ts_dir/.nni/cancel" ] || continue
            ts_end
            exit
        done
    done
) &
ts_watch=$!
ts_asked=
trap 'ts_asked=1; kill -TERM "$ts_group$ts_job" 2>/dev/null' TERM INT
while :; do
    wait "$ts_job"
    ts_exit=$?
    [ -n "$ts_asked" ] || break
    ts_asked=
done
kill "$ts_watch" 2>/dev/null
# The log of the platform is no copy of the trial's; its end is enough to say what went wrong.
[ "$ts_exit" = 0 ] || tail -c 4000 stderr >&2 2>/dev/null
printf 'tsctl: exit code %s; all output is in %s\n' "$ts_exit" "$ts_seat"
exit "$ts_exit"
