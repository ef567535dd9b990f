#!/usr/bin/env bash
# Trains on all hosts of a TPU pod: copies the last commit there, installs it, starts it.
#
#   experiments/tpu_pod.sh POD ZONE RUN_DIR [flags of experiments.launch ...]
#
# RUN_DIR lies on a file system that all hosts have mounted. Needs gcloud here, and there
# Python >= 3.11: PYTHON=python3.12 says which.
#
# The same command goes on from the newest checkpoint. To save and stop, send SIGTERM to
# one of the processes:
#
#   gcloud compute tpus tpu-vm ssh POD --zone=ZONE --worker=0 \
#     --command="pkill -TERM -f experiments[.]launch"
#
# Not run on a pod by its authors, who had none: its gcloud commands are checked against a
# stand-in only (tests/test_hosts.py).
set -euo pipefail

if (($# < 3)); then
  sed -n '2,/^set/{/^#/p}' "$0" | cut -c3- >&2
  exit 2
fi
pod=$1 zone=$2 run_dir=$3
shift 3

archive=$(mktemp --suffix=.tar.gz)
trap 'rm -f "$archive"' EXIT
git -C "$(dirname "$0")/.." archive --format=tar.gz --output="$archive" HEAD
gcloud compute tpus tpu-vm scp "$archive" "$pod:spiral_jax.tar.gz" \
  --zone="$zone" --worker=all

# requirements.txt pins jax; its extra `tpu` brings the libtpu that belongs to it.
printf -v launch '%q ' .venv/bin/python -m experiments.launch \
  --distributed --run_dir="$run_dir" "$@"
gcloud compute tpus tpu-vm ssh "$pod" --zone="$zone" --worker=all --command="
  set -e
  mkdir -p spiral_jax && tar --extract --gzip --file=spiral_jax.tar.gz --directory=spiral_jax
  cd spiral_jax
  [ -d .venv ] || ${PYTHON:-python3.11} -m venv .venv
  .venv/bin/pip install --quiet --requirement requirements.txt 'jax[tpu]'
  $launch"
