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

"$buf" format --diff --exit-code protos --path protos/attachery
"$buf" lint protos
for file in $(cd protos && find google -name '*.proto'); do
  cmp "protos/$file" "$googleapis/$file" || { echo "protos/$file is not the file of googleapis-common-protos" >&2; exit 1; }
done

base=$("$here/breaking-base.sh")
if git cat-file -e "$base:protos/attachery/v1" 2>/dev/null; then
  git archive "$base" protos | tar -x -C "$tmp"
  # Releases before this folder had its dependencies find them in googleapis.
  "$python" -m grpc_tools.protoc -I "$tmp/protos" -I "$googleapis" --include_imports \
    --include_source_info --descriptor_set_out="$tmp/base.binpb" "$tmp"/protos/attachery/v1/*.proto
  "$buf" breaking protos --against "$tmp/base.binpb"
else
  echo "no contract at $base to compare with"
fi

"$here/generate-stubs.sh" "$python" "$tmp/generated"
diff -r -x __pycache__ "$tmp/generated" generated || { echo "generated/ is stale: run 'make proto'" >&2; exit 1; }
for file in $(cd "$tmp" && find service docs -type f); do
  diff "$tmp/$file" "$file" || { echo "$file is stale: run 'make proto'" >&2; exit 1; }
done
