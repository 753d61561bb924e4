# Takes trials one after another until none came for a while: loop.sh MOUNT. Set before: ts_me ts_experiment ts_idle ts_grace.
#
# MOUNT is the experiment's folder. In the worker's folder there the manager puts `next.TRIAL` and `cancel.TRIAL`, and the worker
# `alive`, `begun.TRIAL` and `over.CODE.TRIAL`. Only one manager writes there, and only one worker, for a mount knows no locks. Needs
# what `start.sh` needs, and `ls`, `rm`, `grep` and /proc, by which it ends what a trial leaves behind.
ts_root=$1
ts_home=$ts_root/.workers/$ts_me
ts_base=$PWD

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

mkdir -p "$ts_home"
# The platform has begun this job again: the trial that it ran is lost.
for ts_file in "$ts_home"/begun.*; do
    ts_trial=${ts_file##*/begun.}
    if [ -e "$ts_file" ] && ! ts_is_over "$ts_trial"; then
        printf 'again\n' >"$ts_root/$ts_trial/again"
        ts_put "over.113.$ts_trial"
    fi
done
ts_put alive

ts_had=
ts_left=$ts_idle
while :; do
    for ts_name in $(ls "$ts_home" 2>/dev/null); do
        case $ts_name in
            next.*) ;;
            *) continue ;;
        esac
        ts_trial=${ts_name#next.}
        # Once only, whatever the mount still shows of it.
        case " $ts_had " in *" $ts_trial "*) continue ;; esac
        if ts_is_over "$ts_trial"; then continue; fi
        ts_had="$ts_had $ts_trial"
        ts_run "$ts_trial"
        ts_left=$ts_idle
        continue 2
    done
    [ "$ts_left" -gt 0 ] || exit 0
    ts_left=$((ts_left - 1))
    sleep 1
done
