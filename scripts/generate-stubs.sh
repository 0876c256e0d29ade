#!/bin/sh
# Generates from protos/ into DIR (default: generated/): the Python stubs with their typings, and
# attachery.binpb, the descriptor set of the whole contract with its imports and comments. Beside
# DIR go the files that describe the errors: see generate_errors.
# Usage: generate-stubs.sh PYTHON [DIR], PYTHON being one with scripts/proto-requirements.txt.
set -eu
python=$1
out=${2:-generated}
bin=$(dirname "$python")
rm -rf "$out/attachery"
mkdir -p "$out"
"$python" -m grpc_tools.protoc -I protos \
  --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out" \
  protos/attachery/v1/*.proto
touch "$out/attachery/v1/py.typed"
# error_details.proto is imported by none: errors carry its messages in google.rpc.Status.
"$python" -m grpc_tools.protoc -I protos --include_imports --include_source_info \
  --descriptor_set_out="$out/attachery.binpb" \
  protos/attachery/v1/*.proto protos/google/rpc/error_details.proto
"$python" "$(dirname "$0")/generate_errors" "$out" "$(dirname "$out")"
