# Prepares a machine for the trials of one experiment, and says what it is like. Read by our control shell (POSIX sh).
#
# In: ts_exp, ts_key, ts_dir (wanted folder or empty), ts_shared (root on shared storage or empty), ts_python (folder or empty),
# ts_launch, ts_watch, ts_kill, ts_receive (texts of the scripts). Out: lines `name value`; `refused text` if it cannot be done.
ts_umask=$(umask)
umask 077
ts_uid=$(id -u)

# Whether $1 is, or can be made, a folder that we can write to; `ts_said` tells why not.
ts_usable() {
    ts_said=$( { mkdir -p -- "$1" && printf x >"$1/.write-$$"; } 2>&1 )
    set -- "$?" "$1"
    rm -f -- "$2/.write-$$"
    [ "$1" = 0 ] && return
    ts_why_not "$2"
    return 1
}

# Not every shell says that the disk is full. Puts what keeps us from writing to $1 into `ts_said`.
ts_why_not() {
    set -- $(df -Pk -- "$1" 2>/dev/null | tail -n 1)
    [ "${4:-9999}" -ge 64 ] || ts_said='No space left on device'
}

# Whether $1 is a folder of ours that nobody else can enter; others may own names in /tmp.
ts_private() {
    [ -d "$1" ] && [ ! -L "$1" ] || return 1
    set -- $(ls -ldn -- "$1")
    case $1 in drwx------*) [ "$3" = "$ts_uid" ] ;; *) false ;; esac
}

# A path that may begin with the home directory.
ts_expand() {
    case $1 in '~/'*) printf '%s/%s' "$HOME" "${1#'~/'}" ;; *) printf '%s' "$1" ;; esac
}

ts_choose() {
    ts_dir=$(ts_expand "$ts_dir")
    if [ -n "$ts_dir" ]; then
        ts_base=$ts_dir
        ts_usable "$ts_base" && return
        printf 'refused cannot write to `%s` (key `directory`): %s\n' "$ts_base" "$ts_said"
        return 1
    fi
    ts_base=$HOME/nni-experiments
    case $HOME in /*) ts_usable "$ts_base" && return ;; esac
    ts_base=/tmp/nni-experiments-$ts_uid
    mkdir -m 700 -- "$ts_base" 2>/dev/null
    ts_private "$ts_base" && ts_usable "$ts_base" && return
    printf 'refused neither the home directory `%s` nor `%s` can be written: %s\n' "$HOME" "$ts_base" "$ts_said"
    return 1
}

ts_folders() {
    if [ -n "$ts_shared" ]; then
        ts_mount=${ts_shared%/nni/*}
        if [ ! -d "$ts_mount" ]; then
            printf 'refused `%s` (sharedStorage.remoteMountPoint) does not exist\n' "$ts_mount"
            return 1
        fi
        ts_root=$ts_shared
    else
        ts_root=$ts_base/$ts_exp
    fi
    ts_run=$ts_base/$ts_exp/run-$ts_key
    ts_said=$(mkdir -p -- "$ts_root/trials" "$ts_run/sweep" 2>&1) || {
        if [ -n "$ts_shared" ]; then
            set -- $(df -Pk -- "$ts_mount" 2>/dev/null | tail -n 1)
            [ "${6:-}" = / ] && ts_said="nothing is mounted at \`$ts_mount\` (sharedStorage.remoteMountPoint): $ts_said"
        fi
        printf 'refused %s\n' "$ts_said"
        return 1
    }
    # The code is kept beside the experiments, so that the next one finds it. Where others could put theirs in its place,
    # every experiment keeps its own.
    ts_code=${ts_root%/*}/.code-$ts_uid
    mkdir -m 700 -- "$ts_code" 2>/dev/null
    ts_private "$ts_code" && return
    ts_code=$ts_root/code
    ts_said=$(mkdir -p -- "$ts_code" 2>&1) && return
    printf 'refused %s\n' "$ts_said"
    return 1
}

# A file that appears whole.
ts_write() {
    printf '%s' "$2" >"$1.new.$$" && mv -f -- "$1.new.$$" "$1"
}

# Has the environment that the user has after a login written down, as NNI's trials had it (nni v1.9 to v2.10 start them from
# a login shell). A profile may be slow, so only `ts_await_login` waits; one that hangs is given up after 5 seconds.
ts_login() {
    [ -s "$ts_run/env" ] && return
    (
        TS_ENV=$ts_run/env.all.$$ "${SHELL:-/bin/sh}" -lic 'sh -c "export -p >\"\$TS_ENV\""' &
        ts_pid=$!
        ( sleep 5; kill -9 "$ts_pid" ) &
        ts_guard=$!
        wait "$ts_pid"
        kill "$ts_guard"
        # What shells keep to themselves cannot be set again, and would end whoever tries.
        sed '/^export \(BASH[A-Z_]*\|[EU]*UID\|PPID\|SHELLOPTS\|PWD\|OLDPWD\|SHLVL\|_\)=/d' \
            "$ts_run/env.all.$$" >"$ts_run/env.$$"
        if [ ! -s "$ts_run/env.$$" ] || ! sh -c '. "$1"' sh "$ts_run/env.$$"; then
            printf '# none: the login shell did not tell\n' >"$ts_run/env.$$"
        fi
        rm -f -- "$ts_run/env.all.$$"
        mv -f -- "$ts_run/env.$$" "$ts_run/env"
    ) </dev/null >/dev/null 2>&1 &
    ts_login_pid=$!
}

ts_scripts() {
    ts_python=$(ts_expand "$ts_python")
    ts_write "$ts_run/launch.sh" "$ts_launch" && ts_write "$ts_run/watch.sh" "$ts_watch" &&
        ts_write "$ts_run/kill.sh" "$ts_kill" &&
        ts_write "$ts_run/receive.sh" "$ts_receive" && ts_write "$ts_run/path" "$ts_python"
}

ts_prepare() {
    if [ ! -r "/proc/$$/environ" ]; then
        printf 'unsupported this machine (%s) has no readable /proc, by which the processes of a trial are found\n' "$(uname -s)"
        return
    fi
    ts_choose && ts_folders || return
    ts_said=$(ts_scripts 2>&1) || {
        ts_why_not "$ts_run"
        printf 'refused cannot write to `%s`: %s\n' "$ts_run" "$ts_said"
        return
    }
    ts_login
    ts_detach=
    command -v setsid >/dev/null 2>&1 && ts_detach=setsid
    # The shell ignores SIGINT in what it starts in the background; only `env` of coreutils 8.31 or later can undo that.
    env --default-signal=INT,QUIT true 2>/dev/null && ts_detach="$ts_detach env --default-signal=INT,QUIT"
    ts_reflink=
    cp --reflink=auto /dev/null "$ts_run/reflink" 2>/dev/null && ts_reflink=--reflink=auto
    rm -f -- "$ts_run/reflink"
    ts_boot=
    [ -r /proc/sys/kernel/random/boot_id ] && read -r ts_boot </proc/sys/kernel/random/boot_id
    ts_now=$(date +%s%3N)
    case $ts_now in *[!0-9]*) ts_now=$(date +%s)000 ;; esac
    ts_cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || printf 1)
    set -- $(df -Pk -- "$ts_root" 2>/dev/null | tail -n 1)
    printf '%s %s\n' root "$ts_root" run "$ts_run" code "$ts_code" home "$HOME" uid "$ts_uid" boot "$ts_boot" now "$ts_now" \
        cores "$ts_cores" free_kib "${4:-0}" mount "${6:-}" system "$(uname -sr)" path "$PATH"
    for ts_tool in tar zstd gzip sha256sum setsid python3 bash; do
        command -v "$ts_tool" >/dev/null 2>&1 && printf 'tool %s\n' "$ts_tool"
    done
}
ts_prepare
