# Ends the whole process tree of a trial: kill.sh DIR SIGNAL GRACE_TENTHS RUN cancel|sweep
#
# `cancel` ends a trial and tells the watchers; `sweep` ends what an ended trial has left behind. A process belongs to the
# trial if its environment carries the trial's stamp, if it is in the session or group of the trial's launcher while that
# lives, or if it descends from one that does.
LC_ALL=C
export LC_ALL
dir=$1 signal=$2 grace=$3 run=$4 what=$5
id=${dir##*/}
# Where the directory was removed, what the trial has left is found by its stamp alone.
cd "$dir" 2>/dev/null || [ "$what" = sweep ] || exit 0
# From here on no start comes through.
if [ "$what" = cancel ]; then
    rm -f .nni/ready
    [ -e .nni/started ] || true 2>/dev/null >.nni/started
    printf '%s\n' "$$" 2>/dev/null >.nni/killer
fi

tell() {
    for fifo in "$run"/fifo.*; do
        [ -p "$fifo" ] && printf 'c %s\n' "$id" 1<>"$fifo"
    done
}

# The stamp is followed by a NUL, so a directory whose name begins with ours could match; then every candidate is looked at.
exact=
for other in "$dir"?*; do [ -e "$other" ] && exact=1; done

stamped() {
    for path in $(grep -lsF "NNI_SYS_DIR=$dir" /proc/[0-9]*/environ 2>/dev/null); do
        pid=${path#/proc/}
        pid=${pid%/environ}
        [ "$pid" = "$$" ] && continue
        if [ -z "$exact" ] || tr '\0' '\n' 2>/dev/null <"$path" | grep -qxF "NNI_SYS_DIR=$dir"; then
            printf ' %s' "$pid"
        fi
    done
}

leader= session=
[ -s "$dir/.nni/run" ] && { read -r leader other; read -r other; read -r session; } <"$dir/.nni/run"

# Sets `members` to the pids of the tree, with blanks around each.
look() {
    members="$(stamped) "
    group=
    case $members in *" $leader "*) [ -n "$session" ] && group=$leader ;; esac
    [ "$members" = " " ] && [ -z "$group" ] && return
    all=$(sed -n 's/^\([0-9]*\) (.*) \([A-Z]\) \([0-9]*\) \([0-9]*\) \([0-9]*\) .*/\1 \2 \3 \4 \5/p' /proc/[0-9]*/stat 2>/dev/null)
    while :; do
        before=$members
        while read -r pid state parent pgrp sid; do
            [ "$state" = Z ] && continue
            case $members in *" $pid "*) continue ;; esac
            [ "$pid" = "$$" ] && continue
            case $members in *" $parent "*) members="$members$pid "; continue ;; esac
            if [ -n "$group" ] && { [ "$pgrp" = "$group" ] || [ "$sid" = "$group" ]; }; then members="$members$pid "; fi
        done <<EOF
$all
EOF
        [ "$members" = "$before" ] && break
    done
}

# Sets `now` to tenths of seconds since the machine was started.
look_at_clock() {
    read -r now rest </proc/uptime
    now=${now%?}
    now=${now%.*}${now#*.}
}

look_at_clock
began=$now asked=" " leaked=
while :; do
    look
    [ "$members" = " " ] && break
    look_at_clock
    for pid in $members; do
        if [ $((now - began)) -ge "$grace" ]; then
            kill -KILL "$pid" 2>/dev/null
        else
            # Asked again only if it has become another program: between fork and exec it had its parent's handler.
            comm=
            read -r comm 2>/dev/null <"/proc/$pid/comm"
            case $asked in
            *" $pid/$comm "*) ;;
            *) kill "-$signal" "$pid" 2>/dev/null; asked="$asked$pid/$comm " ;;
            esac
        fi
    done
    if [ $((now - began)) -ge $((grace + 50)) ]; then
        leaked=$members
        break
    fi
    # The wait is cut short by nothing but its own length: there is no event for the end of others' children.
    sleep 0.1 2>/dev/null || sleep 1
done
rm -f -- "$run/sweep/$id"
if [ "$what" = cancel ]; then
    # A disk may be full for a while; that the file is there says enough.
    until { printf '%s\n' "$leaked" >.nni/canceled.new && mv -f .nni/canceled.new .nni/canceled; } 2>/dev/null ||
        true 2>/dev/null >.nni/canceled; do
        [ -d .nni ] || break
        sleep 1
    done
    tell
fi
