# Reports on the trials of one machine until its channel closes: watch.sh ROOT RUN FIFO SIGNAL GRACE_TENTHS
#
# In, through FIFO, one a line: `a ID OFFSET` watch a trial, `l ID KIND FILE OFFSET` follow a log, `s ID` its command begins,
# `f ID` something keeps it from beginning, `e ID` its command has ended, `c ID` its tree is gone, `t` a tick of the clock, `m`
# go on with what was too long for one turn, `q` quit. Out, lines with exact lengths of what follows:
#   ready                            on a line of its own, whatever was said before
#   S ID                                 its command has begun
#   J ID OFFSET LENGTH                   and the bytes of the journal
#   L ID KIND OFFSET LENGTH COMPLETE     and the bytes of a log; COMPLETE is 1 with the last piece
#   E ID CODE MILLISECONDS LENGTH        and the end of standard error
#   C ID PIDS...                         canceled; the pids survive SIGKILL
#   F ID LENGTH                          and why it does not begin yet
#   G ID directory|shell|reboot          it left no exit code
LC_ALL=C
export LC_ALL
root=$1 run=$2 fifo=$3 signal=$4 grace=$5
chunk=262144
cd "$root/trials" || exit 1
[ -p "$fifo" ] || mkfifo "$fifo" || exit 1
# Through `clock` the next tick is asked for, so that ticks never queue up.
clock=$run/clock.${fifo##*/} piece=$run/piece.${fifo##*/}
rm -f -- "$clock" && mkfifo "$clock" || exit 1
exec 9<>"$fifo" 6<>"$clock" 7<&0 </dev/null
# The end of our channel: then nobody reads what we say.
( cat <&7 >/dev/null; printf 'q\n' >&9 ) 6<&- 2>/dev/null &
guard=$!
exec 7<&-
boot=
[ -r /proc/sys/kernel/random/boot_id ] && read -r boot </proc/sys/kernel/random/boot_id
live=" " logs=" " ticker= paused= idle=0 round=0 swept=0 sweeper=
# Our own sessions that were cut off without a word still wait on their fifos: they end now. Another manager's go on.
for other in "${fifo%.*}".*; do
    [ "$other" = "$fifo" ] && continue
    [ -p "$other" ] && printf 'q\n' 1<>"$other"
    rm -f -- "$other" "$run/clock.${other##*/}" "$run/piece.${other##*/}"
done

# Sets `v` to a part of a variable's name that stands for the id $1.
name() {
    v=$1
    case $v in *[_-]*) ;; *) return ;; esac
    rest=$v v=
    while :; do
        case $rest in
        *[_-]*)
            head=${rest%%[_-]*}
            tail=${rest#"$head"}
            case $tail in _*) v=$v${head}_u ;; *) v=$v${head}_d ;; esac
            rest=${tail#?}
            ;;
        *) v=$v$rest; return ;;
        esac
    done
}

# Says bytes $1 to $1 + $2 of its input, which is a file.
bytes() {
    if [ "$1" = 0 ]; then head -c "$2"; else tail -c "+$(($1 + 1))" | head -c "$2"; fi
}

# Copies bytes $2 to $2 + $3 of file $1, which others may cut short meanwhile; sets `length` to how many there were.
copy() {
    { bytes "$2" "$3" >"$piece"; } 2>/dev/null <"$1" || true 2>/dev/null >"$piece"
    length=$(wc -c 2>/dev/null <"$piece")
    length=$((${length:-0}))
}

# The clock ticks ten times a second, but not before the last tick was answered; with nobody to watch, none is.
start_ticker() {
    idle=0
    if [ -n "$paused" ]; then
        paused=
        printf '\n' >&6
    fi
    [ -n "$ticker" ] && return
    # It ends with us: then nobody holds the other end of `clock`.
    ( while sleep 0.1 2>/dev/null || sleep 1; do printf 't\n' >&9; read -r answer || exit; done ) <"$clock" 6<&- &
    ticker=$!
}

# Says what is new in files; $1 is the longest piece, the rest pairs of a token and a file. Sets `more` if anything is left.
grown() {
    longest=$1 more=
    shift
    [ $# -gt 0 ] || return 0
    # Column 5 is the size. `ls` sorts, so a line is matched by its name.
    while read -r mode links owner group size month day time file; do
        case $file in */.nni/metrics) kind=J id=${file%%/*} ;; */*) kind=${file##*/} id=${file%%/*} ;; *) continue ;; esac
        name "$id"
        if [ "$kind" = J ]; then
            eval "offset=\${off_$v:-}"
            [ -n "$offset" ] && [ "$size" -gt "$offset" ] || continue
            length=$((size - offset))
            [ "$length" -gt "$longest" ] && length=$longest more=1
            # The file is opened first: it may be removed at any time. A journal only grows.
            { printf 'J %s %s %s\n' "$id" "$offset" "$length" && bytes "$offset" "$length"; } 2>/dev/null <"$file" &&
                eval "off_$v=$((offset + length))"
        else
            case $kind in trial.log) k=trial ;; *) k=$kind ;; esac
            eval "offset=\${log_${k}_$v:-}"
            [ -n "$offset" ] || continue
            if [ "$size" -lt "$offset" ]; then
                offset=0
                eval "log_${k}_$v=0"
            fi
            length=$((size - offset))
            over=0
            case $live in *" $id "*) ;; *) over=1 ;; esac
            [ "$length" -gt "$longest" ] && length=$longest more=1 over=0
            [ "$length" -gt 0 ] && copy "$file" "$offset" "$length"
            [ "$length" -gt 0 ] || [ "$over" = 1 ] || continue
            printf 'L %s %s %s %s %s\n' "$id" "$k" "$offset" "$length" "$over"
            [ "$length" -gt 0 ] && cat "$piece"
            eval "log_${k}_$v=$((offset + length))"
            [ "$over" = 1 ] && drop_log "$id/$kind"
        fi
    done <<EOF
$(ls -ln -- "$@" 2>/dev/null)
EOF
}

drop() {
    case $live in *" $1 "*) live="${live%%" $1 "*} ${live#*" $1 "}" ;; esac
    name "$1"
    unset "off_$v" "void_$v"
}

drop_log() {
    case $logs in *" $1 "*) logs="${logs%%" $1 "*} ${logs#*" $1 "}" ;; esac
}

# The rest of an ended trial's journal.
rest_of() {
    more=1
    while [ -n "$more" ]; do grown 16777216 "$1/.nni/metrics"; done
}

ended() {
    case $live in *" $1 "*) ;; *) return ;; esac
    code= ms=
    read -r code ms 2>/dev/null <"$1/.nni/state" || return
    rest_of "$1"
    drop "$1"
    length=0
    if [ "$code" != 0 ] && [ -s "$1/stderr" ]; then
        set -- "$1" $(ls -ln -- "$1/stderr")
        length=$6
        copy "$1/stderr" $((length > 4096 ? length - 4096 : 0)) 4096
    fi
    printf 'E %s %s %s %s\n' "$1" "$code" "$ms" "$length"
    [ "$length" -gt 0 ] && cat "$piece"
}

begun() {
    case $live in *" $1 "*) printf 'S %s\n' "$1" ;; esac
}

held_up() {
    case $live in *" $1 "*) ;; *) return ;; esac
    # Where the directory was taken away, the cause could not be written down either.
    [ -d "$1/.nni" ] || { look "$1" 1; return; }
    text=$(cat -- "$1/.nni/failure" 2>/dev/null)
    # Where not even the cause could be written, it is the disk.
    text=${text:-No space left on device}
    printf 'F %s %s\n%s' "$1" "${#text}" "$text"
}

canceled() {
    case $live in *" $1 "*) ;; *) return ;; esac
    [ -e "$1/.nni/canceled" ] || return
    rest_of "$1"
    drop "$1"
    pids=
    read -r pids <"$1/.nni/canceled"
    printf 'C %s %s\n' "$1" "$pids"
}

gone() {
    [ "$2" = directory ] || rest_of "$1"
    # Its launcher cannot ask for it any more.
    [ "$2" = reboot ] || true 2>/dev/null >"$run/sweep/$1"
    drop "$1"
    # Nobody else will end what goes on without its shell or its directory.
    [ "$2" = reboot ] || true >"$run/sweep/$1"
    printf 'G %s %s\n' "$1" "$2"
}

# Whatever has become of trial $1 without a word to us. $2 is not empty if its processes are looked at as well.
look() {
    if [ -e "$1/.nni/canceled" ]; then canceled "$1"
    elif [ -e "$1/.nni/cancel" ]; then [ -z "$2" ] || cancel_again "$1"
    elif [ -s "$1/.nni/state" ]; then ended "$1"
    elif [ ! -d "$1/.nni" ]; then gone "$1" directory
    elif [ -z "$2" ]; then return
    elif [ -s "$1/.nni/run" ]; then
        leader= was= job=
        { read -r leader other; read -r was; } <"$1/.nni/run"
        [ -s "$1/.nni/jobpid" ] && read -r job <"$1/.nni/jobpid"
        if [ "$was" != "$boot" ]; then
            [ -s "$1/.nni/state" ] || gone "$1" reboot
        elif ! lives "$leader" "$1" && ! lives "${job:-$leader}" "$1"; then
            # It may have ended between our two looks.
            if [ -s "$1/.nni/state" ] || [ -e "$1/.nni/cancel" ]; then return; fi
            gone "$1" shell
        fi
    elif [ "$deep" = 1 ]; then
        # Its launcher has not begun. Seen twice without a process, it never will: the machine was restarted, or it was killed.
        name "$1"
        if grep -qsF "NNI_SYS_DIR=$root/trials/$1" /proc/[0-9]*/environ; then
            eval "void_$v="
        elif eval "[ -n \"\${void_$v:-}\" ]"; then
            gone "$1" shell
        else
            eval "void_$v=1"
        fi
    fi
}

# A request to end whose process is gone is carried out by another one.
cancel_again() {
    [ -s "$1/.nni/killer" ] || return
    read -r killer <"$1/.nni/killer"
    kill -0 "$killer" 2>/dev/null && return
    ( sh "$run/kill.sh" "$root/trials/$1" "$signal" "$grace" "$run" cancel </dev/null >/dev/null 2>&1 6<&- 7<&- 9<&- & )
}

# Whether process $1 is there, and is one of trial $2: its number may be another's by now.
lives() {
    kill -0 "$1" 2>/dev/null || return 1
    [ "$deep" = 0 ] && return 0
    [ ! -r "/proc/$1/environ" ] || grep -qsF "NNI_SYS_DIR=$root/trials/$2" "/proc/$1/environ"
}

add() {
    start_ticker
    name "$1"
    eval "off_$v=$2"
    case $live in *" $1 "*) return ;; esac
    live="$live$1 "
    # Both may have been told before we listened.
    if [ -d "$1/code" ]; then begun "$1"; elif [ -s "$1/.nni/failure" ]; then held_up "$1"; fi
    deep=1
    look "$1" 1
}

follow() {
    start_ticker
    name "$1"
    eval "log_$2_$v=$4"
    case $logs in *" $1/$3 "*) ;; *) logs="$logs$1/$3 " ;; esac
    if [ ! -e "$1/$3" ]; then
        # What was never written is complete once the trial has ended.
        case $live in *" $1 "*) ;; *) printf 'L %s %s %s 0 1\n' "$1" "$2" "$4"; drop_log "$1/$3" ;; esac
    fi
}

# Ends what ended trials have left behind, by a process of its own, for all trials at once.
sweep() {
    [ -n "$sweeper" ] && kill -0 "$sweeper" 2>/dev/null && return
    set -- "$run"/sweep/*
    [ -e "$1" ] || return 0
    (
        patterns=$(for mark in "$@"; do printf 'NNI_SYS_DIR=%s/trials/%s\n' "$root" "${mark##*/}"; done)
        if printf '%s\n' "$patterns" | grep -qsF -f - /proc/[0-9]*/environ; then
            for mark in "$@"; do
                sh "$run/kill.sh" "$root/trials/${mark##*/}" "$signal" "$grace" "$run" sweep
            done
        else
            rm -f -- "$@"
        fi
    ) </dev/null >/dev/null 2>&1 6<&- 7<&- 9<&- &
    sweeper=$!
}

tick() {
    round=$((round + 1)) pending=
    if [ "$live" != " " ] || [ "$logs" != " " ]; then
        idle=0
        files=
        for id in $live; do files="$files $id/.nni/metrics"; done
        for log in $logs; do [ -e "$log" ] && files="$files $log"; done
        # Ids and names of logs have no blanks.
        grown "$chunk" $files
        pending=$more
        processes= deep=0
        [ $((round % 10)) = 0 ] && processes=1
        [ $((round % 100)) = 0 ] && deep=1
        for id in $live; do look "$id" "$processes"; done
    else
        idle=$((idle + 1))
    fi
    if [ $((round - swept)) -ge 10 ]; then
        swept=$round
        sweep
    fi
    [ -z "$pending" ] || printf 'm\n' >&9
}

# A login shell may have left a line open.
printf '\nready\n'
sweep
deep=0
while read -r op a b c d <&9; do
    case $op in
    a) add "$a" "$b" ;;
    l) follow "$a" "$b" "$c" "$d" ;;
    e) start_ticker; [ -e "$a/.nni/cancel" ] || ended "$a" ;;
    s) begun "$a" ;;
    f) held_up "$a" ;;
    c) canceled "$a" ;;
    m) tick ;;
    t)
        tick
        if [ "$idle" -gt 20 ]; then paused=1; else printf '\n' >&6; fi
        ;;
    q) break ;;
    esac
done
rm -f -- "$fifo" "$clock" "$piece"
kill "$guard" $ticker 2>/dev/null
