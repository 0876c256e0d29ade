#!/bin/sh
# Generates the stubs and their typings into DIR (default: generated/) from protos/.
# Usage: generate-stubs.sh PYTHON [DIR], PYTHON being one with scripts/proto-requirements.txt.
set -eu
python=$1
out=${2:-generated}
googleapis=$("$python" -c 'import google.rpc, pathlib; print(pathlib.Path(list(google.rpc.__path__)[0]).parents[1])')
bin=$(dirname "$python")
rm -rf "$out/attachery"
mkdir -p "$out"
"$python" -m grpc_tools.protoc -I protos -I "$googleapis" \
  --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out" \
  protos/attachery/v1/*.proto
touch "$out/attachery/v1/py.typed"
