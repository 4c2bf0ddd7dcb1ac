#!/usr/bin/env bash
# Runs every test of the project: unit tests, case files, integration tests against real processes and servers, and the
# comparison of whole lakes with the independent implementation in reference/. Arguments go to `cargo test`.

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
. "$ROOT/services/process.sh"
. "$ROOT/services/install.sh"

cd "$ROOT"

# For the test that gives each process a network namespace of its own, and for the reference's virtual environment.
ensure_commands ip:iproute2 python3:python3
python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv

# Whether network namespaces can be made; found out now, as the test that needs them comes after a long build.
can_make_networks() {
  local namespace=quickchat-$$-probe code=0
  ip netns add "$namespace" && ip -n "$namespace" link add bridge0 type bridge || code=1
  ip netns del "$namespace" 2>/dev/null || true
  return $code
}

if [ $# -eq 0 ] && ! can_make_networks; then
  say "One of the tests makes network namespaces and bridges, which is not allowed here. Run this as root with CAP_NET_ADMIN"
  say "and CAP_SYS_ADMIN (in a container: docker run --privileged), or name the tests to run."
  exit 2
fi

# The tests start the programs in the target folder, where every checkout puts its own: no other run may build before
# the tests of this one have ended. What is started below does not hold the lock, or a process that is left over would.
mkdir -p "$CARGO_TARGET_DIR"
exec 7>"$CARGO_TARGET_DIR/tests.lock"
if ! flock --nonblock 7; then
  say "Waiting for another run of the tests, which holds $CARGO_TARGET_DIR/tests.lock"
  flock 7
fi

# Runs a command and all that it starts in a process group of its own. Bash answers signals while it waits, and not while
# a command in the foreground runs.
run() {
  set -m
  "$@" </dev/null 7>&- &
  set +m
  wait $!
}

# Ends what has not ended by itself, and only then the servers that it uses.
clean_up() {
  local code=$? signal
  trap '' HUP INT TERM
  for signal in TERM KILL; do
    end_group "$signal" "${!:-}" && break
  done
  rm -f "$servers"
  scripts/services.sh stop || say "Servers are left in $QUICKCHAT_SERVICES_DIR."
  exit "$code"
}

# end_group SIGNAL PROCESS: sends a signal to the group of a process, and whether it is gone within some seconds.
end_group() {
  [ -n "$2" ] && kill "-$1" -- "-$2" 2>/dev/null || return 0
  within 20 group_is_gone "$2"
}

group_is_gone() { ! kill -0 -- "-$1" 2>/dev/null; }

# What follows runs where it could not ask for a password.
if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then
  sudo -v || say "Without sudo, packages that are missing cannot be installed."
fi

# Servers that runs have left which were killed; their folders are named after the process.
for left in "$CACHE"/services/test-*; do
  if [ -d "$left" ] && [ ! -e "/proc/${left##*-}" ]; then
    QUICKCHAT_SERVICES_DIR=$left scripts/services.sh stop 7>&- || say "$left could not be removed."
  fi
done

# Servers for the live sources and for the lake on S3, of this run alone, so that other runs on this machine keep theirs.
export QUICKCHAT_SERVICES_DIR=$CACHE/services/test-$$
servers=$(mktemp)
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
run scripts/services.sh start s3 mongodb mysql >"$servers"
# shellcheck source=/dev/null
. "$servers"

# The packages that the reference needs, in a virtual environment of their own for each set of versions.
python=$(python3 -c 'import platform; print(platform.python_version())')
venv=reference-$(digest reference/requirements.txt)-python-$python
make_venv() {
  python3 -m venv "$1"
  persistently "$1/bin/pip" install --quiet --disable-pip-version-check -r reference/requirements.txt
}
run install_once "$venv" make_venv
export QUICKCHAT_REFERENCE_PYTHON=$INSTALLED/$venv/bin/python

test_reference() { cd reference && "$QUICKCHAT_REFERENCE_PYTHON" -m unittest discover -s tests -t .; }
run test_reference

# Binaries first: the integration tests start them as processes.
run cargo build --locked --workspace --bins
run cargo test --locked --workspace "$@"
