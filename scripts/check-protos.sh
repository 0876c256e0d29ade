#!/bin/sh
# Lint, format, breaking changes and freshness of the contract.
# Usage: check-protos.sh PYTHON BUF, PYTHON being one with scripts/proto-requirements.txt.
set -eu
python=$1
buf=$2
here=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
googleapis=$("$python" -c 'import google.rpc, pathlib; print(pathlib.Path(list(google.rpc.__path__)[0]).parents[1])')

# buf has no network for imports; it reads the image that protoc makes of everything.
image() { # PROTO_DIR OUT
  "$python" -m grpc_tools.protoc -I "$1" -I "$googleapis" --include_imports \
    --include_source_info --descriptor_set_out="$2" "$1"/attachery/v1/*.proto
}

"$buf" format --diff --exit-code protos
image protos "$tmp/now.binpb"
"$buf" lint "$tmp/now.binpb" --path attachery --config protos/buf.yaml

base=$("$here/breaking-base.sh")
if git cat-file -e "$base:protos/attachery/v1" 2>/dev/null; then
  git archive "$base" protos | tar -x -C "$tmp"
  image "$tmp/protos" "$tmp/base.binpb"
  "$buf" breaking "$tmp/now.binpb" --against "$tmp/base.binpb" --path attachery --config protos/buf.yaml
else
  echo "no contract at $base to compare with"
fi

"$here/generate-stubs.sh" "$python" "$tmp/generated"
diff -r -x __pycache__ "$tmp/generated" generated || { echo "generated/ is stale: run 'make proto'" >&2; exit 1; }
