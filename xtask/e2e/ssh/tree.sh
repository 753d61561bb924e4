# A trial that never ends by itself, with children in sessions of their own and one that ignores the request to end.
report() { printf "NNISDK_MEb'{\"type\": \"PERIODICAL\", \"value\": 1}'\n" >>"$NNI_SYS_DIR/.nni/metrics"; }
setsid sh -c 'sleep 3600 & sleep 3600' &
(trap '' TERM INT; setsid sleep 3600) &
report
wait
sleep 3600
