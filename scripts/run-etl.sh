#!/usr/bin/env bash
# Runs jobs of QuickChat's data lake: installs what is missing, builds once, and passes its arguments on to
# `quickchat-etl run`. With nothing configured it makes sample exports and runs everything inside one process:
#
#   ./scripts/run-etl.sh full-pipeline
#
# EXPORTS_PATH, DATA_LAKE_PATH, MONGODB_URI and the other variables and flags of `quickchat-etl run` say otherwise.

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ETL=$CARGO_TARGET_DIR/release/quickchat-etl

# As one workspace, since a package alone would choose other features of the dependencies; but only what runs jobs.
(cd "$ROOT" && cargo build --locked --release --workspace --quiet \
  --bin quickchat-etl --bin quickchat-scheduler --bin quickchat-executor)

# Whether one of some options, in one of its forms (--exports DIR, --exports=DIR), is among the arguments, which come
# behind a --.
given() {
  local options=() option argument
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  for argument in "$@"; do
    for option in "${options[@]}"; do
      case $argument in "$option" | "$option"=*) return 0 ;; esac
    done
  done
  return 1
}

# Whether something says where data come from, or that they go into a bucket. Then no invented ones are put there.
configured() {
  local variable
  for variable in EXPORTS_PATH MONGODB_URI MONGODB_URI_FILE MYSQL_URL MYSQL_URL_FILE MEDIA_PATH SCHEDULER_URL \
    QUICKCHAT_CONFIG; do
    [ -z "${!variable:-}" ] || return 0
  done
  case " ${DATA_LAKE_PATH:-} $* " in *" s3://"* | *" s3a://"* | *"=s3://"* | *"=s3a://"*) return 0 ;; esac
  [ -e quickchat-etl.toml ] || given --exports --media --scheduler --config --help -h -- "$@"
}

if [ $# -eq 0 ]; then
  say "Usage: $0 SELECTOR... (for example full-pipeline); $0 --help shows all options."
  exit 2
fi

if ! configured "$@"; then
  export EXPORTS_PATH=$ROOT/data/sample DATA_LAKE_PATH=${DATA_LAKE_PATH:-$ROOT/data/lake}
  if [ ! -d "$EXPORTS_PATH" ]; then
    say "No exports are configured (EXPORTS_PATH): making a sample of 20,000 messages in data/sample"
    "$ETL" sample "$EXPORTS_PATH" --messages 20000 >&2
  fi
fi

exec "$ETL" run "$@"
