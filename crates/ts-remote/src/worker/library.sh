# Functions of the control shell on a machine; set_up.sh has set ts_exp, ts_key, ts_root, ts_run, ts_code, ts_umask, ts_detach,
# ts_reflink and perhaps ts_login_pid.

# Waits until the environment of a login is written down.
ts_await_login() {
    [ -z "$ts_login_pid" ] || wait "$ts_login_pid"
    ts_login_pid=
}

# ts_have NAME: whether the code of this name is here; notes that this experiment uses it, so that nobody removes it.
# The note comes before the look: whoever removes the code looks for notes after it has taken the code away.
ts_have() {
    if ! ts_said=$( { mkdir -p -- "$ts_code/$1.users" && true >"$ts_code/$1.users/$ts_exp.$ts_key"; } 2>&1 ); then
        ts_why "$ts_said"
        return 2
    fi
    [ -d "$ts_code/$1" ]
}

# Removes the code that no other experiment uses.
ts_forget_code() {
    for ts_d in "$ts_code"/*.users/"$ts_exp.$ts_key"; do
        [ -e "$ts_d" ] || continue
        rm -f -- "$ts_d"
        ts_d=${ts_d%/*}
        set -- "$ts_d"/*
        [ -e "$1" ] && continue
        set -- "${ts_d%.users}" "${ts_d%.users}.gone.$$"
        mv -- "$1" "$2" 2>/dev/null
        if rmdir -- "$ts_d" 2>/dev/null || [ -d "$1" ]; then rm -rf -- "$2"; else mv -- "$2" "$1" 2>/dev/null; fi
    done
    rmdir -- "$ts_code" 2>/dev/null
}

# ts_remove DIR...: removes them. The last process of a trial may still write its last file there; it ends with that.
ts_remove() {
    for ts_i in 1 2 3 4 5 6 7 8 9; do
        rm -rf -- "$@" 2>/dev/null && return
        sleep 0.1 2>/dev/null || sleep 1
    done
    rm -rf -- "$@"
}

# Why nothing could be written, in one line.
ts_why() {
    set -- "$1" $(df -Pk -- "$ts_root" 2>/dev/null | tail -n 1)
    if [ "${5:-9999}" -lt 64 ] 2>/dev/null; then printf 'No space left on device: %s' "$ts_root"; else printf '%s' "$1"; fi
}

# ts_start ID EXPERIMENT PACKAGE PARAMETER_FILE, with the texts in ts_p and ts_s: starts a trial, once whatever happens.
# Says `before ID`, `now ID` or `failed ID TEXT`.
ts_start() {
    ts_await_login
    ts_d=$ts_root/trials/$1
    if [ -e "$ts_d/.nni/started" ]; then
        printf 'before %s\n' "$1"
        printf 'a %s 0\n' "$1" >&8
        return
    fi
    if [ ! -d "$ts_d/.nni" ] && ! ts_said=$(mkdir -p -- "$ts_d/.nni" 2>&1); then
        printf 'failed %s %s\n' "$1" "$(ts_why "$ts_said")"
        return
    fi
    # An earlier request that was cut off has written all of it if it came to the last; its launcher may read it by now.
    if [ ! -e "$ts_d/.nni/ready" ] && ! { printf '%s' "$ts_p" >"$ts_d/$4" && printf '%s' "$ts_s" >"$ts_d/run.sh" &&
        true >>"$ts_d/.nni/metrics" && true >"$ts_d/.nni/ready"; } 2>/dev/null
    then
        printf 'failed %s %s\n' "$1" "$(ts_why "cannot write to $ts_d")"
        # The launcher makes `started` first of all, so nothing of a running trial is removed here.
        [ -e "$ts_d/.nni/started" ] || rm -rf -- "$ts_d"
        return
    fi
    (
        NNI_EXP_ID=$2 NNI_TRIAL_JOB_ID=$1 NNI_SYS_DIR=$ts_d \
            $ts_detach sh "$ts_run/launch.sh" "$ts_d" "$3" "$ts_run" "$ts_umask" "$ts_reflink" "${ts_detach%%env*}" \
            </dev/null >/dev/null 2>&1 8>&- &
    )
    printf 'now %s\n' "$1"
    printf 'a %s 0\n' "$1" >&8
}

# ts_cancel ID REASON SIGNAL GRACE_TENTHS: has the tree of a trial ended by a process of its own.
# Says `ended ID`, `absent ID` or `taken ID`.
ts_cancel() {
    ts_d=$ts_root/trials/$1
    if [ ! -d "$ts_d/.nni" ]; then
        printf 'absent %s\n' "$1"
    elif [ ! -s "$ts_d/.nni/cancel" ] && [ -s "$ts_d/.nni/state" ]; then
        printf 'ended %s\n' "$1"
    else
        if [ ! -s "$ts_d/.nni/cancel" ]; then
            printf '%s\n' "$2" >"$ts_d/.nni/cancel.new" && mv -f -- "$ts_d/.nni/cancel.new" "$ts_d/.nni/cancel"
        fi
        ( $ts_detach sh "$ts_run/kill.sh" "$ts_d" "$3" "$4" "$ts_run" cancel </dev/null >/dev/null 2>&1 8>&- & )
        printf 'taken %s\n' "$1"
    fi
}

# Trials of this machine, one a line: `ID alive` or `ID ended`.
ts_list() {
    for ts_d in "$ts_root"/trials/*/.nni/started; do
        [ -e "$ts_d" ] || continue
        ts_d=${ts_d%/.nni/started}
        ts_g= ts_r= ts_b=
        [ -s "$ts_d/.nni/run" ] && { read -r ts_g ts_r; read -r ts_b; } <"$ts_d/.nni/run"
        [ "$ts_r" = "$ts_run" ] || continue
        if [ ! -s "$ts_d/.nni/state" ] && [ "$ts_b" = "$ts_boot" ] && [ -n "$ts_g" ] && kill -0 "$ts_g" 2>/dev/null; then
            printf '%s alive\n' "${ts_d##*/}"
        else
            printf '%s ended\n' "${ts_d##*/}"
        fi
    done
}

# Ends what ended trials have left behind, and returns when it is gone.
ts_settle() {
    for ts_d in "$ts_run"/sweep/*; do
        [ -e "$ts_d" ] || continue
        sh "$ts_run/kill.sh" "$ts_root/trials/${ts_d##*/}" "$1" "$2" "$ts_run" sweep </dev/null >/dev/null 2>&1 8>&-
        rm -f -- "$ts_d"
    done
}
