# Prints lines of a journal by the numbers that the relay in `trial.sh` gives them, and before them one line: the number of the line
# before the first of them, and what `state` holds.
#
# Arguments: the directory with the journal, the first number, the last number. Without such a directory nothing is printed.
cd -- "$1" 2>/dev/null && [ -r metrics ] || exit 0
ts_said=0 ts_base=0 ts_state=''
[ ! -s relayed ] || read -r ts_said ts_base <relayed
ts_base=${ts_base:-0}
# It was emptied, and the relay was ended before it saw that.
[ "$((ts_base + $(wc -l <metrics)))" -ge "$ts_said" ] || ts_base=$ts_said
ts_first=$(($2 - ts_base)) ts_last=$(($3 - ts_base))
[ "$ts_first" -ge 1 ] || ts_first=1
[ ! -s state ] || read -r ts_state <state
printf '%s %s\n' "$((ts_base + ts_first - 1))" "$ts_state"
[ "$ts_last" -ge "$ts_first" ] || exit 0
sed -n "${ts_first},${ts_last}p" metrics
