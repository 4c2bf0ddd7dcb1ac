#!/usr/bin/env bash
# Runs one of the programs in benches/: ./scripts/bench.sh pipeline --messages 200000
#
# Everything is built as one workspace: building a package alone would choose other features of the dependencies and
# compile them once more.

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ $# -eq 0 ]; then
  say "Usage: $0 pipeline|decode|write|upsert|planning|latency|mongodb|mysql|listing [OPTIONS]"
  exit 2
fi
program=$1
shift

(cd "$ROOT" && cargo build --locked --release --workspace --bins --quiet)
exec "$CARGO_TARGET_DIR/release/$program" "$@"
