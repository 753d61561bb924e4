#!/bin/sh
# What a trial does follows from its number; from the sixth on it runs until it is cancelled, two minutes at most.
set -eu

report() { # kind, sequence, value as JSON
    printf "NNISDK_MEb'%s'\n" "{\"type\": \"$1\", \"sequence\": $2, \"value\": $3}" >>"$NNI_SYS_DIR/.nni/metrics"
}

echo "trial $NNI_TRIAL_SEQ_ID <script>window.injected=3</script> größer"
case $NNI_TRIAL_SEQ_ID in
0)
    for step in 0 1 2 3 4; do report PERIODICAL "$step" "0.$((step + 4))"; done
    report FINAL 0 0.9
    ;;
1)
    report PERIODICAL 0 '"NaN"'
    report FINAL 0 '"NaN"'
    ;;
2)
    echo '<img src=x onerror=window.injected=4> gave up' >&2
    exit 3
    ;;
3)
    awk 'BEGIN { for (row = 1; row <= 300000; row++) print "row", row }'
    report FINAL 0 '{"default": 0.7, "note": "<img src=x onerror=window.injected=5>"}'
    ;;
4) ;;
*)
    n=0
    while [ "$n" -lt 600 ]; do
        report PERIODICAL "$n" "0.$n"
        echo "line $n"
        n=$((n + 1))
        sleep 0.2
    done
    ;;
esac
