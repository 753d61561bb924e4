# Runs one pod's part of a trial and says in the container's log what it writes.
#
# Set before: ts_token ts_work ts_volume ts_code ts_role ts_many ts_output ts_hold ts_script. Arguments: the parameters, in pieces.
# What a record of the log looks like is told where they are read, in `relay/parse.rs`.
ts_dir=$ts_work/trial
ts_die() {
  printf 'tsctl: %s\n' "$1" >&2
  exit 125
}
ts_index=${JOB_COMPLETION_INDEX:-${NNI_POD_NAME##*-}}

if [ -n "$ts_volume" ]; then
  ts_home=$ts_volume
  [ -z "$ts_many" ] || ts_home=$ts_home/$ts_role-$ts_index
  mkdir -p "$ts_home/.nni" || ts_die "cannot write to the volume at $ts_volume"
  [ -d "$ts_code" ] || ts_die "the code is not on the volume: $ts_code"
  if [ ! -d "$ts_home/code" ]; then
    rm -rf "$ts_home/code.new"
    cp -R "$ts_code" "$ts_home/code.new" || ts_die "cannot copy the code on the volume"
    mv "$ts_home/code.new" "$ts_home/code" || ts_die "cannot copy the code on the volume"
  fi
  ln -sfn "$ts_home" "$ts_dir" || ts_die "cannot write to $ts_work"
fi
mkdir -p "$ts_dir/.nni" "$ts_output" && printf '%s' "$@" >"$ts_dir/parameter.cfg" &&
  printf '%s' "$ts_script" >"$ts_dir/run.sh" || ts_die "cannot write to $ts_dir"
rm -f "$ts_dir/.nni/state" "$ts_work/over" "$ts_work/heard"
true >>"$ts_dir/.nni/metrics" && true >>"$ts_dir/stdout" && true >>"$ts_dir/stderr" || ts_die "cannot write to $ts_dir"

# --- the relay: copies what is new in the journal and in both outputs to the container's standard output

# A record begins where a line begins and is shorter than the 16 KiB at which the container runtime cuts lines: only so it comes
# through as it is. A line of the trial that is not complete when a record is due is broken by one that says so.
ts_close() {
  [ -n "$ts_open" ] || return 0
  printf '\036%sc\n' "$ts_token"
  ts_open=''
}

ts_frame() {
  ts_close
  if [ ${#1} -le 8000 ]; then
    printf '\036%sm%s %s\n' "$ts_token" "$ts_n" "$1"
  else
    printf '%s\n' "$1" | fold -b -w 8000 | while IFS= read -r ts_piece; do
      printf '\036%sM%s %s\n' "$ts_token" "$ts_n" "$ts_piece"
    done
    printf '\036%sm%s \n' "$ts_token" "$ts_n"
  fi
}

ts_open_journal() {
  ts_part='' ts_at=0
  exec 3<"$ts_dir/.nni/metrics"
}

ts_pump() {
  while IFS= read -r ts_line <&3; do
    ts_n=$((ts_n + 1)) ts_at=$((ts_at + ${#ts_line} + 1))
    ts_frame "$ts_part$ts_line"
    ts_part=''
  done
  ts_part=$ts_part$ts_line ts_at=$((ts_at + ${#ts_line}))
  if [ "$ts_n" != "$ts_told" ]; then
    printf '%s %s\n' "$ts_n" "$ts_base" >"$ts_dir/.nni/relayed"
    ts_told=$ts_n
  fi
  # Few lines are copied by the shell itself, which starts no process for them; many by one program.
  ts_few=0
  while IFS= read -r ts_line <&4; do
    [ "$ts_open" != e ] || ts_close
    printf '%s\n' "$ts_line"
    ts_open='' ts_few=$((ts_few + 1))
    if [ "$ts_few" = 50 ]; then
      cat <&4
      ts_open=o ts_line=''
      break
    fi
  done
  if [ -n "$ts_line" ]; then
    [ "$ts_open" != e ] || ts_close
    printf '%s' "$ts_line"
    ts_open=o
  fi
  ts_few=0
  while IFS= read -r ts_line <&5; do
    ts_close
    printf '%s%s\n' "$ts_mark" "$ts_line"
    ts_few=$((ts_few + 1))
    if [ "$ts_few" = 50 ]; then
      sed "s/^/$ts_mark/" <&5
      ts_open=e ts_line=''
      break
    fi
  done
  if [ -n "$ts_line" ]; then
    ts_close
    printf '%s%s' "$ts_mark" "$ts_line"
    ts_open=e
  fi
}

# NNI's SDK before 2.3 empties the journal when it opens it. The numbers of its lines go on: `ts_base` is that before its first.
ts_check_journal() {
  ts_size=$(wc -c <"$ts_dir/.nni/metrics") || return 0
  [ "$ts_size" -lt "$ts_at" ] || return 0
  ts_base=$ts_n ts_told=''
  ts_open_journal
}

ts_relay() {
  trap '' TERM INT HUP
  export LC_ALL=C
  ts_mark=$(printf '\036%se' "$ts_token")
  ts_n=0 ts_skip=0 ts_base=0 ts_ticks=0 ts_last='' ts_open=''
  ts_open_journal
  exec 4<"$ts_dir/stdout" 5<"$ts_dir/stderr"
  # An earlier pod with the same directory has said these.
  if [ -s "$ts_dir/.nni/relayed" ] && read -r ts_skip ts_base <"$ts_dir/.nni/relayed"; then
    ts_base=${ts_base:-0} ts_n=${ts_base:-0}
    while [ "$ts_n" -lt "$ts_skip" ] && IFS= read -r ts_line <&3; do
      ts_n=$((ts_n + 1)) ts_at=$((ts_at + ${#ts_line} + 1))
    done
    if [ "$ts_n" -lt "$ts_skip" ]; then
      ts_base=$ts_skip ts_n=$ts_skip
      ts_open_journal
    fi
  fi
  ts_told=$ts_n
  printf '\036%sb%s\n' "$ts_token" "$ts_n"
  while :; do
    [ ! -e "$ts_work/over" ] || ts_last=1
    ts_ticks=$(((ts_ticks + 1) % 10))
    if [ -n "$ts_last" ] || [ "$ts_ticks" = 0 ]; then ts_check_journal; fi
    ts_pump
    [ -z "$ts_last" ] || break
    sleep 0.2 2>/dev/null || sleep 1
  done
  # Where much was said, the beginning of the log may be gone when it is read: the journal is said again.
  ts_said=$(cat "$ts_dir/stdout" "$ts_dir/stderr" | wc -c)
  if [ "$ts_said" -gt 2000000 ] && [ "$ts_at" -lt 4000000 ] && [ "$ts_at" -gt 0 ]; then
    ts_all=$ts_n ts_n=$ts_base
    exec 3<"$ts_dir/.nni/metrics"
    while [ "$ts_n" -lt "$ts_all" ] && IFS= read -r ts_line <&3; do
      ts_n=$((ts_n + 1))
      ts_frame "$ts_line"
    done
    ts_n=$ts_all
  fi
  ts_close
  [ -z "$ts_part" ] || printf '\036%sp%s\n' "$ts_token" "$ts_part"
}

ts_relay &
ts_relay_pid=$!

# --- the trial: a signal to this shell goes to everything that the trial started

ts_asked=''
# `--` before a group is an error in dash.
ts_end() {
  ts_asked=1
  if [ $$ = 1 ]; then kill -TERM -1 2>/dev/null; else kill -TERM "-$ts_job" 2>/dev/null; fi
}
trap ts_end TERM INT
if [ $$ != 1 ] && command -v setsid >/dev/null 2>&1; then
  setsid sh "$ts_dir/run.sh" &
else
  sh "$ts_dir/run.sh" &
fi
ts_job=$!
while :; do
  wait "$ts_job"
  ts_code=$?
  [ -n "$ts_asked" ] || break
  ts_asked=''
done
true >"$ts_work/over"
wait "$ts_relay_pid"
ts_ms=0
if [ -s "$ts_dir/.nni/state" ]; then read -r ts_line ts_ms <"$ts_dir/.nni/state"; fi
printf '\036%sx%s %s\n' "$ts_token" "$ts_code" "$ts_ms"
# Where the log goes with the pod, the end waits until somebody has heard it.
while [ "$ts_hold" -gt 0 ] && [ ! -e "$ts_work/heard" ]; do
  ts_hold=$((ts_hold - 1))
  sleep 0.2 2>/dev/null || sleep 1
done
exit "$ts_code"
