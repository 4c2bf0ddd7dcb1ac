# shellcheck shell=bash
# Sourced by the other scripts: makes sure that what a build needs is there, and says where it goes.
#
# The dependencies are some 500 crates, so the target folder is kept outside the checkout, where later builds and other
# checkouts find it. CARGO_TARGET_DIR, if set, wins.

. "$(dirname "${BASH_SOURCE[0]}")/machine.sh"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}

ensure_rust() {
  # shellcheck source=/dev/null
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  command -v cargo >/dev/null && return
  say "Rust is not installed. Install it with rustup (https://rustup.rs), then run this again."
  exit 2
}

ensure_commands cc:build-essential clang:clang mold:mold protoc:protobuf-compiler
ensure_rust
