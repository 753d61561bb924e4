#!/bin/sh
# Answers as NVIDIA's program does, from the files beside it: rows of GPUs, and of processes that use them.
case $1 in
--query-gpu=*mig*) cat "$0.gpus" ;;
--query-compute-apps=*) cat "$0.processes" ;;
*) echo "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help." && exit 2 ;;
esac
