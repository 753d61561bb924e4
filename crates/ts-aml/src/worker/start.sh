# Begins one trial in its container: start.sh MOUNT. Set before: the function ts_unpack, which writes parameters and run.sh.
#
# Needs a POSIX sh, tar, cat, wc, mkdir and sleep. The trial runs in a folder of the container; what it writes is copied to the mount
# of the storage, for a mount sends a file when it is closed, and a journal stays open for as long as its trial runs.
ts_mount=$1
ts_dir=$PWD/nni-trial

ts_die() {
    printf 'tsctl: %s\n' "$1" >&2
    { printf '%s\n' "$1" >"$ts_mount/failure"; } 2>/dev/null
    exit 114
}

# Copies what has grown: ts_publish WHEN. Big files are copied less often, but for the last time. Then comes the end, after all else:
# whoever reads it finds the rest whole.
ts_round=0
ts_publish() {
    ts_done=0
    ts_round=$((ts_round + 1))
    for ts_name in metrics stdout stderr trial.log state; do
        if [ "$ts_name" = state ]; then
            [ "$1" = last ] && [ "$ts_done" = 0 ] || continue
        fi
        case $ts_name in
            metrics | state) ts_file=$ts_dir/.nni/$ts_name ;;
            *) ts_file=$ts_dir/$ts_name ;;
        esac
        [ -f "$ts_file" ] || continue
        ts_key=ts_sent_${ts_name%.log}
        ts_size=$(($(wc -c <"$ts_file")))
        eval "ts_sent=\${$ts_key:-0}"
        [ "$ts_size" != "$ts_sent" ] || continue
        [ "$1" = last ] || [ $((ts_round % (1 + ts_size / 4194304))) = 0 ] || continue
        if cat "$ts_file" >"$ts_mount/$ts_name"; then
            eval "$ts_key=$ts_size"
        else
            ts_done=1
        fi
    done
    return "$ts_done"
}

# The platform may start a job again that lost its node; a trial reports once.
if [ -e "$ts_mount/started" ]; then
    printf 'again\n' >"$ts_mount/again"
    printf 'tsctl: this trial was begun before\n' >&2
    exit 113
fi
mkdir -p "$ts_mount/nnioutput" "$ts_dir/.nni" "$ts_dir/code" || ts_die "cannot write to $ts_mount or $ts_dir"
{ printf 'started\n' >"$ts_mount/started"; } || ts_die "cannot write to the storage at $ts_mount"
tar -xf code.tar -C "$ts_dir/code" || ts_die "cannot unpack the code"
# What the launch script names without quotes.
case $ts_dir$ts_mount in
    *[!A-Za-z0-9/._=@%+,:-]*) ts_die "the folder of the job has characters that no path may have: $ts_dir, $ts_mount" ;;
esac
ts_unpack || ts_die "cannot write to $ts_dir"

sh "$ts_dir/run.sh" &
ts_job=$!
(
    # Ends between two copies: one that went on by itself would empty a file after the last copy, and then miss what it is to copy.
    ts_stop=
    trap 'ts_stop=yes' TERM
    while [ -d "$ts_dir" ]; do
        sleep 1 &
        wait "$!"
        [ -z "$ts_stop" ] || break
        ts_publish now
        # The next parameters come over the storage.
        for ts_file in "$ts_mount"/parameter_*.cfg; do
            ts_own=$ts_dir/${ts_file##*/}
            if [ -s "$ts_file" ] && [ ! -e "$ts_own" ]; then
                cat "$ts_file" >"$ts_own.new" && mv "$ts_own.new" "$ts_own"
            fi
        done
        kill -0 "$ts_job" 2>/dev/null || break
    done
) &
ts_copier=$!
trap 'kill -TERM "$ts_job" 2>/dev/null' TERM INT
while :; do
    wait "$ts_job"
    ts_exit=$?
    kill -0 "$ts_job" 2>/dev/null || break
done
kill "$ts_copier" 2>/dev/null
# A signal ends a wait.
while kill -0 "$ts_copier" 2>/dev/null; do
    wait "$ts_copier" 2>/dev/null
done
ts_tries=0
until ts_publish last; do
    ts_tries=$((ts_tries + 1))
    [ "$ts_tries" -lt 60 ] || ts_die "cannot write what the trial has left to the storage"
    sleep 1
done
# The platform's own log is no copy of the trial's; its end is enough there.
[ "$ts_exit" = 0 ] || tail -c 4000 "$ts_dir/stderr" >&2 2>/dev/null
printf 'tsctl: exit code %s\n' "$ts_exit"
exit "$ts_exit"
