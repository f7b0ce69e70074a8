#!/usr/bin/env bash
# Train on several devices of this host (or of several hosts), one process each, started by MindSpore's msrun:
#
#   bash scripts/run_distribute_train.sh [RANK_TABLE.json] --data-path DIR --val-data-path DIR [options of tinydarknet.train]
#
#   RANKS=8                         processes in all hosts together
#   NNODES=1 NODE_RANK=0            number of hosts, and which one this is
#   MASTER_ADDR=127.0.0.1 MASTER_PORT=8118
#   LOG_DIR=train_parallel-<time>   each rank's output: worker_<rank>.log
#
# Runs in the foreground and returns the training's status. Not run on Ascend here; on the CPU the ranks talk by MCCL.
set -euo pipefail

ranks=${RANKS:-8}
nodes=${NNODES:-1}
port=${MASTER_PORT:-8118}
log_dir=${LOG_DIR:-train_parallel-$(date +%Y%m%dT%H%M%S)}
for value in "$ranks" "$nodes" "$port"; do
    if ! [[ $value =~ ^[1-9][0-9]*$ ]]; then
        echo "error: RANKS, NNODES and MASTER_PORT must be positive whole numbers, got '$value'" >&2
        exit 2
    fi
done
if ((ranks % nodes != 0)); then
    echo "error: RANKS must be a multiple of NNODES, got $ranks and $nodes" >&2
    exit 2
fi

rank_table=()
if [[ ${1:-} == *.json ]]; then
    if [[ ! -f $1 ]]; then
        echo "error: the rank table $1 does not exist" >&2
        exit 1
    fi
    echo "MindSpore 2 starts ranks with msrun; the rank table $1 is passed on to it" >&2
    rank_table=(--rank_table_file="$1")
    shift
fi

mkdir -p "$log_dir"
echo "$ranks ranks, output in $log_dir/worker_<rank>.log" >&2
status=0
msrun --worker_num="$ranks" --local_worker_num="$((ranks / nodes))" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$port" --node_rank="${NODE_RANK:-0}" \
    --log_dir="$log_dir" --join=True --cluster_time_out=300 "${rank_table[@]}" \
    "$(dirname "$0")/../tinydarknet/train.py" "$@" || status=$?
if ((status != 0)); then
    echo "error: training failed with status $status; the last lines of each rank:" >&2
    tail -n 5 "$log_dir"/worker_*.log >&2
    exit "$status"
fi
