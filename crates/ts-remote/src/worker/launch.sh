# Runs one trial on its machine, detached from everything that we hold: launch.sh DIR PACKAGE RUN UMASK REFLINK SESSION
#
# DIR is the trial's directory, PACKAGE the unpacked code or empty, RUN this machine's run directory, SESSION not empty if
# this process leads a session. The environment carries the trial's stamp, by which its processes are found.
# A redirection that fails must not end us, so it is never one of `:`, a special builtin.
trap : INT TERM HUP
umask "$4"
cd "$1" || exit 1
# Whoever makes this folder runs the trial; a start that is repeated after a cut finds it there.
mkdir .nni/started 2>/dev/null || exit 0
id=${1##*/}
run=$3
boot=
[ -r /proc/sys/kernel/random/boot_id ] && read -r boot </proc/sys/kernel/random/boot_id
printf '%s %s\n%s\n%s\n' "$$" "$run" "$boot" "$6" >.nni/run

# Tells every watcher; opened for reading too, so that nobody's absence can hold us up.
tell() {
    for fifo in "$run"/fifo.*; do
        [ -p "$fifo" ] && printf '%s %s\n' "$1" "$id" 1<>"$fifo"
    done
}

if [ -s .nni/cancel ]; then
    [ -e .nni/canceled ] || true >.nni/canceled
    tell c
    exit
fi
if [ -n "$2" ] && [ ! -d code ]; then
    rm -rf code.new
    # $5 is one option or nothing.
    if ! said=$(cp -RPp $5 -- "$2" code.new 2>&1 && mv -- code.new code 2>&1); then
        rm -rf code.new
        printf '%s\n' "${said:-the code could not be cloned}" >.nni/failure || printf 'No space left on device\n' >.nni/failure
        tell f
        exit
    fi
fi
if [ -s "$run/env" ]; then . "$run/env"; fi
if [ -s "$run/path" ]; then
    read -r nni_path <"$run/path"
    PATH=$nni_path:$PATH
    export PATH
    unset nni_path
fi
unset TS_ENV
sh run.sh </dev/null >/dev/null 2>>stderr
true >"$run/sweep/$id"
tell e
