# Takes a stream of code: says how it wants it, unpacks what comes, and puts it in place once the other side says that this was all.
#
# Arguments: the folder that is to hold the code, and a file that says that it does. The stream: a line with a number of bytes,
# those bytes, and after our answer a line `ok`.
ts_to=$1 ts_mark=$2
ts_fail() {
  printf 'failed %s\n' "$1"
  exit 1
}
if [ -e "$ts_mark" ]; then
  echo there
  exit 0
fi
command -v tar >/dev/null 2>&1 || ts_fail 'tar: not found'
command -v head >/dev/null 2>&1 || ts_fail 'head: not found'
ts_new=$ts_to.$$
rm -rf "$ts_new" && mkdir -p "$ts_new" || ts_fail "cannot write to $ts_to"
trap 'rm -rf "$ts_new"' EXIT
if command -v zstd >/dev/null 2>&1; then echo 'send zstd'; else echo 'send plain'; fi
read -r ts_form ts_length || ts_fail 'nothing came'
# Exactly so many bytes, and none of what follows. The `head` of busybox takes them one by one, so it gets as few as can be.
ts_take() {
  ts_block=131072
  if dd if=/dev/null of=/dev/null bs=1 count=1 iflag=fullblock 2>/dev/null; then
    dd bs=$ts_block count=$(($1 / ts_block)) iflag=fullblock 2>/dev/null
    head -c $(($1 % ts_block))
  else
    head -c "$1"
  fi
}
case $ts_form in
zstd) ts_take "$ts_length" | zstd -dcq | tar -xf - -C "$ts_new" 2>"$ts_new.said" ;;
*) ts_take "$ts_length" | tar -xf - -C "$ts_new" 2>"$ts_new.said" ;;
esac
ts_code=$?
ts_said=$(head -c 500 "$ts_new.said" | tr '\n' ' ')
rm -f "$ts_new.said"
[ "$ts_code" = 0 ] || ts_fail "tar: $ts_said"
echo unpacked
read -r ts_word || ts_fail 'the stream was cut off'
[ "$ts_word" = ok ] || ts_fail 'the stream was cut off'
if [ ! -e "$ts_mark" ]; then
  rm -rf "$ts_to"
  mv "$ts_new" "$ts_to" && true >"$ts_mark" || ts_fail "cannot put the code in place"
fi
echo placed
