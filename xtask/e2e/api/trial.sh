#!/bin/sh
# The first two trials end, each in its own way; the others run until they are canceled, two minutes at most.
set -eu

echo "trial $NNI_TRIAL_SEQ_ID"
echo "größer" >&2
printf "NNISDK_MEb'%s'\n" '{"type": "PERIODICAL", "sequence": 0, "value": 0.5}' \
    '{"type": "FINAL", "sequence": 0, "value": 0.7}' >>"$NNI_SYS_DIR/.nni/metrics"
case $NNI_TRIAL_SEQ_ID in
0 | 1) exit "$NNI_TRIAL_SEQ_ID" ;;
esac
exec sleep 120
