# Unpacks an archive from standard input: receive.sh FOLDER DECODER SUM
#
# DECODER is `zstd`, whose frames carry a checksum of their content and an end (RFC 8878), or `cat`; then SUM says how what has
# arrived is compared, `sha256sum` or `wc`. Says `go` when it reads, and at the end `done STATUS SUM NAME`, where SUM is what
# the asker compares, or `zstd`, and NAME is the complete folder beside FOLDER, which the asker puts in place.
umask 022
to=$1
host=$(uname -n)
# What an earlier upload that was cut off has left; one that still runs has a process. Other machines may share the folder.
for old in "$to.new.$host".*; do
    pid=${old##*.}
    [ -d "$old" ] && ! kill -0 "$pid" 2>/dev/null && rm -rf -- "$old" "$to.sum.$host.$pid" "$to.said.$host.$pid"
done
new=$to.new.$host.$$ fifo=$to.sum.$host.$$ said=$to.said.$host.$$
# A process with our number may have left them before a restart of this machine.
rm -rf -- "$new" "$fifo" "$said"
mkdir -p -- "$new" || exit 1

# What is behind the end of the archive is read too: whoever writes to a pipe that nobody reads fails.
unpack() {
    tar -xpof - -C "$new"
    set -- $?
    cat >/dev/null
    return "$1"
}

if [ "$2" = zstd ]; then
    sum=zstd
    # A login shell may have left a line open.
    printf '\ngo\n'
    { zstd -dcq || printf 'broken\n' >"$said"; } | unpack
    status=$?
    [ -e "$said" ] && status=1
else
    mkfifo -- "$fifo" || exit 1
    case $3 in
    sha256sum) sha256sum <"$fifo" >"$said" & ;;
    *) wc -c <"$fifo" >"$said" & ;;
    esac
    printf '\ngo\n'
    tee -- "$fifo" | unpack
    status=$?
    wait
    read -r sum rest <"$said"
fi
rm -f -- "$fifo" "$said"
[ "$status" = 0 ] || rm -rf -- "$new"
printf '\ndone %s %s %s\n' "$status" "$sum" "$new"
