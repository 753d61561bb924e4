# Runs one trial where no storage is shared with the manager: push.sh ROLE. Set before: ts_url ts_dir ts_code ts_patience, and in the
# environment NNI_TS_PUSH_TOKEN.
#
# Fetches the trial's files, runs `start.sh` over a folder of the container, and pushes what it writes. Needs what `start.sh` needs,
# `cat`, `wc`, `head`, `date`, and `curl` or a `wget` that can post a file; with busybox's `wget` also `od`.
ts_role=$1
ts_own=$ts_dir/.push
ts_piece=262144

ts_quit() {
    printf 'tsctl: %s\n' "$1" >&2
    exit 114
}

mkdir -p "$ts_dir/.nni" "${ts_code%/*}" || ts_quit "cannot make $ts_dir in the container"
# In a file that others cannot read, and first in the body of each request: in no argument, and in no variable of the trial.
ts_umask=$(umask)
umask 077
mkdir -p "$ts_own" && printf '%s\n' "$NNI_TS_PUSH_TOKEN" >"$ts_own/token" || ts_quit "cannot write to $ts_own in the container"
umask "$ts_umask"
unset NNI_TS_PUSH_TOKEN

ts_client=
ts_hex=
ts_idle=
ts_guard=
if command -v curl >/dev/null 2>&1; then
    ts_client=curl
elif command -v wget >/dev/null 2>&1; then
    ts_help=$(wget --help 2>&1)
    case $ts_help in
    *BusyBox*post-file*) ts_client=busybox ;;
    *post-file*) ts_client=wget ;;
    esac
fi
[ -n "$ts_client" ] || ts_quit "the image has neither curl nor a wget that can post a file (--post-file): with one of them in it the trial can reach the manager"
if [ "$ts_client" = busybox ]; then
    command -v od >/dev/null 2>&1 || ts_quit "the image has a wget of busybox, and no od, which it needs beside it: add one, or curl"
    # It takes the end of a file for where its first NUL is.
    ts_hex='&hex=1'
    # Built without a limit of time, as Debian's is before 1.36.1-5, it crashes when it is given one.
    case $ts_help in
    *'-T SEC'*) ts_idle='-T 60' ;;
    *) if timeout 5 true >/dev/null 2>&1; then ts_guard='timeout 90'; fi ;;
    esac
fi

# ts_post REQUEST BODY ANSWER: fails where there is no answer, or a refusal.
ts_post() {
    case $ts_client in
    curl) curl -sSf --connect-timeout 10 --speed-limit 1 --speed-time 60 -H Expect: --data-binary "@$2" -o "$3" "$ts_url/$1" ;;
    # Both are words, or nothing.
    busybox) $ts_guard wget -q $ts_idle --post-file "$2" -O "$3" "$ts_url/$1" ;;
    *) wget -nv -t 1 -T 60 --post-file="$2" -O "$3" "$ts_url/$1" ;;
    esac </dev/null >"$3.trouble" 2>&1
}

# ts_get REQUEST ANSWER: tries for some minutes.
ts_get() {
    ts_until=$(($(date +%s) + 300))
    until ts_post "$1" "$ts_own/token" "$2"; do
        [ "$(date +%s)" -lt "$ts_until" ] || ts_quit "cannot fetch ${1%%\?*} from $ts_url: $(tail -n 1 "$2.trouble")"
        sleep 1
    done
}

# ts_parameters: fetches the files that the last answer to `wait` names, and counts those that are there; fails where one is missing.
ts_parameters() {
    ts_have=0
    ts_lacks=
    while read -r ts_line; do
        case $ts_line in
        parameter*)
            if [ ! -e "$ts_dir/$ts_line" ]; then
                ts_post "read/$ts_trial/$ts_line" "$ts_own/token" "$ts_own/parameter" && mv "$ts_own/parameter" "$ts_dir/$ts_line"
            fi
            if [ -e "$ts_dir/$ts_line" ]; then ts_have=$((ts_have + 1)); else ts_lacks=1; fi
            ;;
        cancel | gone) true >"$ts_dir/.nni/cancel" ;;
        esac
    done <"$ts_own/inbox"
    [ -z "$ts_lacks" ]
}

ts_trial=${ts_dir##*/}
ts_get "read/$ts_trial/start.sh" "$ts_dir/start.sh"
ts_get "read/$ts_trial/run.sh" "$ts_dir/run.sh"
if [ ! -e "$ts_code" ]; then
    if [ -n "$ts_guard" ]; then ts_guard='timeout 3600'; fi
    ts_get "read/code/${ts_code##*/}" "$ts_own/code"
    if [ -n "$ts_guard" ]; then ts_guard='timeout 90'; fi
    mv "$ts_own/code" "$ts_code" || ts_quit "cannot write to ${ts_code%/*} in the container"
fi
ts_get "wait/$ts_trial?have=0" "$ts_own/inbox"
ts_until=$(($(date +%s) + 300))
until ts_parameters; do
    [ "$(date +%s)" -lt "$ts_until" ] || ts_quit "cannot fetch the parameters from $ts_url: $(tail -n 1 "$ts_own/parameter.trouble")"
    sleep 1
done
# Whoever gets the right runs the trial, however often its answer is lost.
ts_get "claim/$ts_trial?by=${FC_POD_UID:-0}-$$-$(date +%s)" "$ts_own/claim"
read -r ts_word <"$ts_own/claim"
if [ "$ts_word" != yes ]; then
    printf 'tsctl: this trial was begun before, or is not wanted any more\n' >&2
    exit 113
fi
true >"$ts_dir/.nni/ready"

# The trial: its end is in a file, for a child that has ended stays a process until it is waited for.
trap : TERM INT HUP
(
    sh "$ts_dir/start.sh" "$ts_role" </dev/null
    printf '%s\n' "$?" >"$ts_own/exit.new"
    mv "$ts_own/exit.new" "$ts_own/exit"
) &
(
    trap - TERM INT HUP
    until [ -e "$ts_dir/.nni/cancel" ]; do
        ts_before=$ts_have
        ts_post "wait/$ts_trial?have=$ts_have" "$ts_own/token" "$ts_own/inbox" && ts_parameters
        [ "$ts_have" != "$ts_before" ] || sleep 1
    done
) </dev/null >/dev/null 2>&1 &
ts_watch=$!

# ts_send FILE OFFSET: pushes a piece; the stored length is in ts_word then.
ts_send() {
    {
        cat "$ts_own/token"
        if [ -n "$ts_hex" ]; then
            tail -c "+$(($2 + 1))" "$ts_dir/$1" | head -c "$ts_piece" | od -An -v -tx1
        else
            tail -c "+$(($2 + 1))" "$ts_dir/$1" | head -c "$ts_piece"
        fi
    } >"$ts_own/body" 2>/dev/null
    ts_post "append/$ts_trial/$1?offset=$2$ts_hex" "$ts_own/body" "$ts_own/answer" || return 1
    read -r ts_word <"$ts_own/answer"
    case $ts_word in
    gone) ts_gone=1 ;;
    '' | *[!0-9]*) return 1 ;;
    esac
}

# ts_push FILE NAME: pushes what is new of a file; NAME makes the variable with the length that the manager has.
ts_push() {
    [ -f "$ts_dir/$1" ] || return 0
    eval "ts_at=\${ts_at_$2:-0}"
    ts_size=$(wc -c <"$ts_dir/$1")
    while [ -z "$ts_gone" ] && [ "$ts_at" -lt "$ts_size" ]; do
        ts_send "$1" "$ts_at" || return 1
        [ -n "$ts_gone" ] || ts_at=$ts_word
        eval "ts_at_$2=\$ts_at"
    done
}

# The journal first: it is what the experiment waits for.
ts_round() { ts_push .nni/metrics metrics && ts_push stdout stdout && ts_push stderr stderr && ts_push trial.log log; }

# The exit code last: whoever sees it has everything.
ts_last() {
    ts_round && ts_push .nni/failure failure || return 1
    if [ -f "$ts_dir/.nni/ended" ]; then ts_send .nni/ended 0 || return 1; fi
    ts_push .nni/state state
}

ts_gone=
until [ -e "$ts_own/exit" ]; do
    ts_round
    sleep 1
done
read -r ts_exit <"$ts_own/exit"
kill "$ts_watch" 2>/dev/null
ts_until=$(($(date +%s) + ts_patience))
until ts_last; do
    if [ "$(date +%s)" -ge "$ts_until" ]; then
        printf 'tsctl: what the trial wrote is lost: nobody answered at %s for %s s\n' "$ts_url" "$ts_patience" >&2
        break
    fi
    sleep 2
done
exit "$ts_exit"
