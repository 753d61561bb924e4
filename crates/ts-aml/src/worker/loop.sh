# Runs the trials that it is given until none came for a while: loop.sh MOUNT. Set before: ts_me ts_experiment ts_idle ts_grace, and
# the function ts_look, which asks the driver by ts_ask.
#
# MOUNT is the experiment's folder. In the worker's folder there the manager puts `next.TRIAL`, with what the trial may use of the node
# behind it, and `cancel.TRIAL`; the worker puts `gpus.N`, `alive`, `begun.TRIAL` and `over.CODE.TRIAL`. Which trials fit beside each
# other is the manager's business: what is given begins at once. Only one manager writes there, and only one worker, for a mount knows
# no locks. Needs what `start.sh` needs, and `ls`, `rm`, `grep` and /proc, by which it ends what a trial leaves behind.
ts_root=$1
ts_home=$ts_root/.workers/$ts_me
ts_base=$PWD
# One file for each trial that runs here.
ts_busy=$ts_base/nni-running
# There once what is to be told cannot be.
ts_mute=$ts_base/nni-mute

# Sends a signal to all processes of a trial: ts_signal SIGNAL TRIAL. Fails if there is none.
ts_signal() {
    ts_pids=
    # Two processes, however many there are to look at.
    ts_found=$(grep -l "NNI_TRIAL_JOB_ID=$2" /proc/[0-9]*/environ 2>/dev/null)
    [ -n "$ts_found" ] || return 1
    for ts_proc in $(grep -l "NNI_EXP_ID=$ts_experiment" $ts_found 2>/dev/null); do
        ts_proc=${ts_proc%/environ}
        ts_pids="$ts_pids ${ts_proc##*/}"
    done
    [ -n "$ts_pids" ] || return 1
    # Numbers, one word each.
    kill "-$1" $ts_pids 2>/dev/null
    return 0
}

ts_sweep() {
    for ts_try in 1 2 3 4 5; do
        ts_signal KILL "$1" || return 0
    done
}

# Writes a file whole: ts_put NAME
ts_put() {
    ts_tries=0
    until { printf 'yes\n' >"$ts_home/$1"; } 2>/dev/null; do
        ts_tries=$((ts_tries + 1))
        [ "$ts_tries" -lt 60 ] || exit 115
        sleep 1
    done
}

# One question to the driver and its answer: ts_ask NAME ARGUMENT...
ts_ask() {
    printf -- '--ts-ask %s--\n' "$1"
    shift
    { ts_err=$({ $ts_limit nvidia-smi "$@" 2>&1 >&4 4>&-; }); ts_code=$?; } 4>&1
    printf -- '\n--ts-errors %s--\n%s\n' "$ts_code" "$ts_err"
}

# Tells the GPUs of the node, and who uses them, if that is news. Only while no trial runs here: then whoever uses one is somebody else.
ts_report() {
    ts_now=
    if command -v nvidia-smi >/dev/null 2>&1; then
        ts_now=$(ts_look)
    fi
    [ "$ts_now" != "$ts_told" ] || return 0
    ts_told=$ts_now
    ts_tries=0
    until { printf '%s\n--ts-end--\n' "$ts_now" >"$ts_home/gpus.$ts_number"; } 2>/dev/null; do
        ts_tries=$((ts_tries + 1))
        [ "$ts_tries" -lt 60 ] || exit 115
        sleep 1
    done
    ts_number=$((ts_number + 1))
}

# Whether a trial has an end already.
ts_is_over() {
    for ts_file in "$ts_home"/over.*."$1"; do
        [ -e "$ts_file" ] && return 0
    done
    return 1
}

# Whether a file is in a folder: ts_is_in FOLDER NAME. Listing makes the mount ask its storage; a mere look may be answered from a cache.
ts_is_in() {
    ls "$1" 2>/dev/null | grep -qxF "$2"
}
ts_is_there() {
    ts_is_in "$ts_home" "$1"
}

ts_run() {
    # A mount may show `next.TRIAL` before the script, which was stored earlier.
    ts_tries=0
    until ts_is_in "$ts_root/$1" start.sh || ts_is_there "cancel.$1"; do
        ts_tries=$((ts_tries + 1))
        if [ "$ts_tries" -ge 60 ]; then
            mkdir -p "$ts_root/$1"
            { printf 'the script of the trial is not on the mount\n' >"$ts_root/$1/failure"; } 2>/dev/null
            ts_put "over.114.$1"
            return
        fi
        sleep 1
    done
    if ts_is_there "cancel.$1"; then
        ts_put "over.113.$1"
        return
    fi
    ts_put "begun.$1"
    ts_place=$ts_base/nni-trials/$1
    rm -rf "$ts_place"
    mkdir -p "$ts_place" || { ts_put "over.114.$1"; return; }
    ln "$ts_base/code.tar" "$ts_place/code.tar" 2>/dev/null || cp "$ts_base/code.tar" "$ts_place/code.tar"
    (cd "$ts_place" && exec sh "$ts_root/$1/start.sh" "$ts_root/$1") &
    ts_job=$!
    (
        ts_asked=
        while sleep 1; do
            if [ -n "$ts_asked" ]; then
                ts_asked=$((ts_asked + 1))
                [ "$ts_asked" -le "$ts_grace" ] || ts_signal KILL "$1"
            elif ts_is_there "cancel.$1"; then
                ts_asked=0
                ts_signal TERM "$1"
            fi
        done
    ) &
    ts_watch=$!
    wait "$ts_job"
    ts_exit=$?
    kill "$ts_watch" 2>/dev/null
    wait "$ts_watch" 2>/dev/null
    ts_sweep "$1"
    rm -rf "$ts_place"
    ts_put "over.$ts_exit.$1"
}

# Runs a trial beside others: ts_serve TRIAL
ts_serve() {
    (ts_run "$1") || : >"$ts_mute"
    rm -f "$ts_busy/$1"
}

mkdir -p "$ts_home" "$ts_busy"
# The platform has begun this job again: the trials that it ran are lost.
for ts_file in "$ts_home"/begun.*; do
    ts_trial=${ts_file##*/begun.}
    if [ -e "$ts_file" ] && ! ts_is_over "$ts_trial"; then
        printf 'again\n' >"$ts_root/$ts_trial/again"
        ts_put "over.113.$ts_trial"
    fi
done
ts_limit=
if timeout -k 1 9 true 2>/dev/null; then ts_limit='timeout -k 1 9'; fi
ts_number=0
for ts_file in "$ts_home"/gpus.*; do
    ts_old=${ts_file##*/gpus.}
    if [ -e "$ts_file" ] && [ "$ts_old" -ge "$ts_number" ]; then ts_number=$((ts_old + 1)); fi
done
ts_told=nothing
ts_report
ts_put alive

ts_had=
ts_quiet=0
while :; do
    for ts_name in $(ls "$ts_home" 2>/dev/null); do
        case $ts_name in
            next.*) ;;
            *) continue ;;
        esac
        ts_trial=${ts_name#next.}
        ts_trial=${ts_trial%%.*}
        # Once only, whatever the mount still shows of it.
        case " $ts_had " in *" $ts_trial "*) continue ;; esac
        if ts_is_over "$ts_trial"; then continue; fi
        ts_had="$ts_had $ts_trial"
        ts_quiet=0
        : >"$ts_busy/$ts_trial"
        ts_serve "$ts_trial" &
    done
    [ ! -e "$ts_mute" ] || exit 115
    if [ -n "$(ls "$ts_busy")" ]; then
        ts_quiet=0
    else
        [ "$ts_quiet" -lt "$ts_idle" ] || exit 0
        ts_quiet=$((ts_quiet + 1))
        # Not at once, for what a trial held is given back a little later.
        [ $((ts_quiet % 30)) != 5 ] || ts_report
    fi
    sleep 1
done
