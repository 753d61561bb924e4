# Runs one trial on its machine, detached from everything that we hold: launch.sh DIR PACKAGE RUN UMASK REFLINK SESSION
#
# DIR is the trial's directory, PACKAGE the unpacked code or empty, RUN this machine's run directory, SESSION not empty if
# this process leads a session. The environment carries the trial's stamp, by which its processes are found.
# A redirection that fails must not end us, so it is never one of `:`, a special builtin.
trap : INT TERM HUP
umask "$4"
cd "$1" || exit 1
# Whoever takes this file runs the trial: a start that is repeated after a cut, or comes after a request to end, finds none.
mv .nni/ready .nni/started 2>/dev/null || exit 0
id=${1##*/}
run=$3
boot=
[ -r /proc/sys/kernel/random/boot_id ] && read -r boot </proc/sys/kernel/random/boot_id
until printf '%s %s\n%s\n%s\n' "$$" "$run" "$boot" "$6" >.nni/run.new && mv -f .nni/run.new .nni/run; do
    [ -d .nni ] || exit 0
    sleep 1
done 2>/dev/null

# Tells every watcher; opened for reading too, so that nobody's absence can hold us up.
tell() {
    for fifo in "$run"/fifo.*; do
        [ -p "$fifo" ] && printf '%s %s\n' "$1" "$id" 1<>"$fifo"
    done
}

# The trial's own copy of the code. What keeps us from making it is told, and tried again until it is over or we are canceled.
told=
while [ -n "$2" ] && [ ! -d code ] && [ ! -s .nni/cancel ]; do
    rm -rf code.new
    if [ ! -d "$2" ]; then
        said='the code is not there'
    else
        # $5 is one option or nothing.
        said=$(cp -RPp $5 -- "$2" code.new 2>&1 && mv -- code.new code 2>&1) && break
        rm -rf code.new
    fi
    [ -d .nni ] || exit 0
    if [ "$said" != "$told" ]; then
        told=$said
        printf '%s\n' "$said" 2>/dev/null >.nni/failure
        tell f
    fi
    sleep 2
done
if [ -s .nni/cancel ]; then
    [ -e .nni/canceled ] || true >.nni/canceled
    tell c
    exit
fi
tell s
if [ -s "$run/env" ]; then . "$run/env"; fi
# Whatever the user's variables are called.
run=$3 id=${1##*/}
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
