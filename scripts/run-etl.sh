#!/usr/bin/env bash
# Runs jobs of QuickChat's data lake: installs what is missing, builds once, and passes its arguments on to
# `quickchat-etl run`. With nothing configured it makes sample exports and runs everything inside one process:
#
#   ./scripts/run-etl.sh full-pipeline
#
# EXPORTS_PATH, DATA_LAKE_PATH, SCHEDULER_URL and the flags of `quickchat-etl run` say otherwise.

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ETL=$CARGO_TARGET_DIR/release/quickchat-etl

# As one workspace, since a package alone would choose other features of the dependencies; but only what runs jobs.
(cd "$ROOT" && cargo build --locked --release --workspace --quiet \
  --bin quickchat-etl --bin quickchat-scheduler --bin quickchat-executor)

# Whether an option or one of its forms (--exports=DIR) is among the arguments.
given() {
  local option=$1
  shift
  for argument in "$@"; do
    case $argument in "$option" | "$option"=*) return 0 ;; esac
  done
  return 1
}

if [ $# -eq 0 ]; then
  say "Usage: $0 SELECTOR... (for example full-pipeline); $0 --help shows all options."
  exit 2
fi

if [ -z "${EXPORTS_PATH:-}" ] && [ ! -e quickchat-etl.toml ] && ! given --exports "$@"; then
  export EXPORTS_PATH=$ROOT/data/sample
  export DATA_LAKE_PATH=${DATA_LAKE_PATH:-$ROOT/data/lake}
  if [ ! -d "$EXPORTS_PATH" ]; then
    say "No exports are configured (EXPORTS_PATH): making a sample of 20,000 messages in data/sample"
    "$ETL" sample "$EXPORTS_PATH" --messages 20000 >&2
  fi
fi

exec "$ETL" run "$@"
