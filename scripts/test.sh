#!/usr/bin/env bash
# Runs every test of the project: unit tests, case files, integration tests against real processes and servers, and the
# comparison of whole lakes with the independent implementation in reference/.

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

cd "$ROOT"

# For the test that gives each process a network namespace of its own, and for the reference's virtual environment.
ensure_commands ip:iproute2 curl:curl python3:python3
python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv

# Servers for the live sources and for the lake on S3, of this run alone, so that other runs on this machine keep theirs.
# In two steps: `eval "$(...)"` would hide a failure.
export QUICKCHAT_SERVICES_DIR=$CACHE/services/test-$$
trap 'scripts/services.sh stop' EXIT
servers=$(scripts/services.sh start s3 mongodb mysql)
eval "$servers"

# The packages that the reference needs, in a virtual environment of their own, made anew when the versions change.
venv=$CACHE/reference-$(sha256sum reference/requirements.txt | cut -c1-12)
if [ ! -x "$venv/bin/python" ] || [ ! -e "$venv/complete" ]; then
  say "Installing the reference's packages"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r reference/requirements.txt
  touch "$venv/complete"
fi
export QUICKCHAT_REFERENCE_PYTHON=$venv/bin/python

(cd reference && "$QUICKCHAT_REFERENCE_PYTHON" -m unittest discover -s tests -t .)

# Binaries first: the integration tests start them as processes.
cargo build --locked --workspace --bins
cargo test --locked --workspace "$@"
