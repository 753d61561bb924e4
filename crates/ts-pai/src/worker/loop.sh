# Takes trials one after another until none came for a while. Set before: ts_root ts_experiment ts_me ts_idle ts_role.
#
# Whoever moves a trial's file out of the inbox runs the trial. Needs what `start.sh` needs, and `rm`; with `grep` and /proc it also
# ends what a trial leaves behind.
ts_home=$ts_root/envs/$ts_me

ts_is_of() {
    grep -q "NNI_EXP_ID=$ts_experiment" "/proc/$1/environ" && grep -q "NNI_TRIAL_JOB_ID=$2" "/proc/$1/environ"
}

ts_sweep() {
    for ts_round in 1 2 3 4 5; do
        ts_pids=
        for ts_proc in /proc/[0-9]*; do
            if ts_is_of "${ts_proc##*/}" "$1"; then ts_pids="$ts_pids ${ts_proc##*/}"; fi
        done 2>/dev/null
        [ -n "$ts_pids" ] || return 0
        # Numbers, one word each.
        kill -KILL $ts_pids 2>/dev/null
    done
}

# Says that a trial is over: ts_over TRIAL CODE
ts_over() {
    ts_exchange=$ts_root/$1/.nni
    printf '%s\n' "$2" >"$ts_exchange/over.new" && mv -f "$ts_exchange/over.new" "$ts_exchange/over"
    rm -f "$ts_home/busy"
}

# The platform has begun this job again: the trial that it ran is lost.
if [ -s "$ts_home/busy" ] && read -r ts_trial <"$ts_home/busy"; then
    true >"$ts_root/$ts_trial/.nni/again"
    ts_over "$ts_trial" 113
fi

ts_left=$ts_idle
while :; do
    ts_took=
    for ts_file in "$ts_root"/envs/inbox/*; do
        ts_trial=${ts_file##*/}
        mv -f "$ts_file" "$ts_home/taken" 2>/dev/null || continue
        ts_took=1
        [ -e "$ts_root/$ts_trial/.nni/ready" ] || break
        printf '%s\n' "$ts_trial" >"$ts_home/busy.new" && mv -f "$ts_home/busy.new" "$ts_home/busy"
        sh "$ts_root/$ts_trial/start.sh" "$ts_role"
        ts_exit=$?
        ts_sweep "$ts_trial"
        ts_over "$ts_trial" "$ts_exit"
        break
    done
    if [ -n "$ts_took" ]; then
        ts_left=$ts_idle
        continue
    fi
    ts_left=$((ts_left - 1))
    if [ "$ts_left" -le 0 ] || [ ! -d "$ts_home" ] || [ -e "$ts_root/envs/drain" ]; then exit 0; fi
    sleep 1
done
