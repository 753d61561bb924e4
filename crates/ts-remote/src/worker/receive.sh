# Unpacks an archive from standard input: receive.sh FOLDER DECODER SUM
#
# DECODER is `zstd` or `cat`, SUM `sha256sum` or `wc`. Says `go` when it reads, and at the end `done STATUS SUM NAME`, where
# NAME is the complete folder beside FOLDER; the asker compares the sum and puts it in place.
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
mkdir -p -- "$new" && mkfifo -- "$fifo" || exit 1
case $3 in
sha256sum) sha256sum <"$fifo" >"$said" & ;;
*) wc -c <"$fifo" >"$said" & ;;
esac
case $2 in
zstd) set -- zstd -dcq ;;
*) set -- cat ;;
esac
# A login shell may have left a line open.
printf '\ngo\n'
tee -- "$fifo" | "$@" | tar -xpof - -C "$new"
status=$?
wait
read -r sum rest <"$said"
rm -f -- "$fifo" "$said"
[ "$status" = 0 ] || rm -rf -- "$new"
printf '\ndone %s %s %s\n' "$status" "$sum" "$new"
