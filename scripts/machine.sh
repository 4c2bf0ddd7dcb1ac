# shellcheck shell=bash
# Sourced by the other scripts: where things are kept outside the checkout, and how a missing command gets onto the
# machine.

set -euo pipefail

# shellcheck disable=SC2034 # for those who source this
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/quickchat-etl
mkdir -p "$CACHE"

say() { printf '%s\n' "$*" >&2; }

# A machine that lacks one of these commands, given as command:package, gets its Debian package.
ensure_commands() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# Installs packages of Debian.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "Please install: $* (this system has no apt-get), then run this again."
    exit 2
  fi
  say "Installing $*"
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  sudo+=(apt-get -qq -o Acquire::Retries=3)
  "${sudo[@]}" update >&2
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" install -y --no-install-recommends "$@" >&2
}
