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
[ "$what" = sweep ] || mkdir .nni/started 2>/dev/null

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
[ -s .nni/run ] && { read -r leader other; read -r other; read -r session; } <.nni/run

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

asked=" " tenths=0 leaked=
while :; do
    look
    [ "$members" = " " ] && break
    for pid in $members; do
        if [ "$tenths" -ge "$grace" ]; then
            kill -KILL "$pid" 2>/dev/null
        else
            case $asked in
            *" $pid $pid "*) ;;
            # Asked twice: a process between fork and exec may have had its parent's handler the first time.
            *" $pid "*) kill "-$signal" "$pid" 2>/dev/null; asked="$asked$pid $pid " ;;
            *) kill "-$signal" "$pid" 2>/dev/null; asked="$asked $pid " ;;
            esac
        fi
    done
    if [ "$tenths" -ge $((grace + 50)) ]; then
        leaked=$members
        break
    fi
    # The wait is cut short by nothing but its own length: there is no event for the end of others' children.
    if sleep 0.1 2>/dev/null; then tenths=$((tenths + 1)); else sleep 1; tenths=$((tenths + 10)); fi
done
rm -f -- "$run/sweep/$id"
if [ "$what" = cancel ]; then
    printf '%s\n' "$leaked" >.nni/canceled.new && mv -f .nni/canceled.new .nni/canceled
    tell
fi
