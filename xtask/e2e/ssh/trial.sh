# One trial of the end-to-end tests over SSH: counts to `steps` with a pause after each number, then reports its parameter `x`.
parameter() { sed -n "s/.*\"$1\": *\([^,}]*\).*/\1/p" "$NNI_SYS_DIR/parameter.cfg"; }
report() { printf "NNISDK_MEb'{\"type\": \"%s\", \"value\": %s}'\n" "$1" "$2" >>"$NNI_SYS_DIR/.nni/metrics"; }
steps=$(parameter steps) pause=$(parameter pause) step=0
while [ "$step" -lt "$steps" ]; do
    step=$((step + 1))
    report PERIODICAL "$step"
    [ "$pause" = 0 ] || sleep "$pause"
done
report FINAL "$(parameter x)"
