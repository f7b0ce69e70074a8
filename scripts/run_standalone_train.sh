#!/usr/bin/env bash
# Train on one device, output in train.log:
#
#   bash scripts/run_standalone_train.sh DEVICE_ID --data-path DIR --val-data-path DIR [options of tinydarknet.train]
#
# Runs in the foreground and returns the training's status; put "&" behind it to have it in the background.
set -euo pipefail

if [[ $# -lt 1 || ! $1 =~ ^[0-9]+$ ]]; then
    echo "usage: bash scripts/run_standalone_train.sh DEVICE_ID [options]; got '${1:-}' for DEVICE_ID" >&2
    exit 2
fi
device_id=$1
shift
python -m tinydarknet.train --device-id "$device_id" "$@" 2>&1 | tee train.log
