#!/usr/bin/env bash
# Evaluate a checkpoint, output in eval.log:
#
#   bash scripts/run_eval.sh --val-data-path DIR --checkpoint-path FILE [options of tinydarknet.evaluate]
set -euo pipefail

python -m tinydarknet.evaluate "$@" 2>&1 | tee eval.log
