# Sourced by the other scripts: makes sure that what a build needs is there, and says where it goes.
#
# The dependencies are some 500 crates, so the target folder is kept outside the checkout, where later builds and other
# checkouts find it. CARGO_TARGET_DIR, if set, wins.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/quickchat-etl
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
mkdir -p "$CACHE"

say() { printf '%s\n' "$*" >&2; }

# A machine that lacks one of these commands gets its Debian package.
ensure_packages() {
  local missing=()
  command -v cc >/dev/null || missing+=(build-essential)
  command -v clang >/dev/null || missing+=(clang)
  command -v mold >/dev/null || missing+=(mold)
  command -v protoc >/dev/null || missing+=(protobuf-compiler)
  [ ${#missing[@]} -eq 0 ] && return
  if ! command -v apt-get >/dev/null; then
    say "Please install: ${missing[*]} (this system has no apt-get), then run this again."
    exit 2
  fi
  say "Installing ${missing[*]}"
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

ensure_rust() {
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  command -v cargo >/dev/null && return
  say "Rust is not installed. Install it with rustup (https://rustup.rs), then run this again."
  exit 2
}

ensure_packages
ensure_rust
