#!/usr/bin/env bash
# One call on the machine with the GPU, in the top folder of a checkout that brings along the ignored
# folder build/gpu/cache (see README.md here). Exit status 1: call it again, with the runs it left.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python benchmarks/gpu/uae_mp20.py train --cache build/gpu/cache --runs "${RUNS:-build/gpu/runs}" \
  --seconds "${SECONDS_LEFT:-540}"
