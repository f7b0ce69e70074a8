#!/usr/bin/env bash
# Train on several devices of this host, or of several hosts, one process each:
#
#   bash scripts/run_distribute_train.sh [RANK_TABLE.json] --data-path DIR --val-data-path DIR [options of tinydarknet.train]
#
#   RANKS=8                         processes on all hosts together
#   NNODES=1 NODE_RANK=0            number of hosts, and which one this is
#   MASTER_ADDR=127.0.0.1 MASTER_PORT=8118
#   HOSTS=10.0.0.1,10.0.0.2         all hosts, if they are to be looked for before the ranks start
#   LOG_DIR=train_parallel-<time>   each rank's output: worker_<rank>.log
#
# Runs in the foreground and returns the status of the rank that failed, if one did (tinydarknet/launch.py).
# Not run on Ascend here; on the CPU the ranks talk by MCCL.
set -euo pipefail

if [[ ${1:-} == *.json ]]; then
    terms=$(python "$(dirname "$0")/rank_table.py" check "$1")
    echo "MindSpore 2 starts ranks with msrun instead of rank tables; of $1 it is told $terms" >&2
    for term in $terms; do declare "$term"; done
    shift
fi
log_dir=()
[[ -n ${LOG_DIR:-} ]] && log_dir=(--log-dir "$LOG_DIR")
hosts=()
[[ -n ${HOSTS:-} ]] && hosts=(--hosts ${HOSTS//,/ })
exec python -m tinydarknet.launch --ranks "${RANKS:-8}" --nodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${MASTER_PORT:-8118}" "${hosts[@]}" "${log_dir[@]}" -- "$@"
