# shellcheck shell=bash
# Sourced by scripts that need programs which are built or downloaded once, at pinned versions, and kept outside the
# checkout.

INSTALLED=$CACHE/services

# Modules that ask for a newer Go than the machine's are built with this one.
GO_VERSION=1.24.8

# install_once NAME-VERSION COMMAND...: runs the command, which fills the folder given to it as last argument, unless it
# has once succeeded. What an interrupted installation left is removed first.
install_once() {
  local folder=$INSTALLED/$1
  shift
  is_installed "${folder##*/}" && return
  # Another checkout may install the same at the same time.
  mkdir -p "$folder"
  exec 8<"$folder"
  if ! flock --nonblock 8; then
    say "Waiting for another process, which installs ${folder##*/}"
    flock --timeout 1800 8 || { say "It is not done after half an hour. End it, and run this again."; return 1; }
  fi
  if ! is_installed "${folder##*/}"; then
    say "Installing ${folder##*/}"
    find "$folder" -mindepth 1 -delete
    "$@" "$folder"
    touch "$folder/complete"
  fi
  exec 8<&-
}

# persistently PROGRAM...: runs a program that asks a registry, which may be unwell for a moment, up to three times, and
# each time for twenty minutes at most.
persistently() {
  local attempt
  for attempt in 1 2 3; do
    timeout --foreground 1200 "$@" && return
    [ "$attempt" = 3 ] || {
      say "Failed, trying again in $((attempt * 5)) s: $*"
      sleep $((attempt * 5))
    }
  done
  return 1
}

# A short name for what files say: what is built from other files is another version.
digest() { cat "$@" | sha256sum | cut -c1-12; }

is_installed() { [ -e "$INSTALLED/$1/complete" ]; }

# Makes `go` a Go that can build the modules: the machine's, else Debian's; one that is older than the modules want gets
# the right one by itself, or, before 1.21, when Go learnt to do so, from us.
ensure_go() {
  ensure_commands go:golang-go
  export GOTOOLCHAIN=auto
  local minor
  minor=$(go env GOVERSION | sed -E 's/^go1\.([0-9]+).*/\1/')
  [ "$minor" -lt 21 ] || return 0
  install_once "go-$GO_VERSION" download_go
  PATH=$INSTALLED/go-$GO_VERSION/bin:$PATH
}

# Go's releases are modules too, with checksums as other modules have; only the right to execute is lost on the way.
download_go() {
  local module
  module=golang.org/toolchain@v0.0.1-go$GO_VERSION.$(go env GOOS)-$(go env GOARCH)
  (cd / && persistently go mod download "$module")
  cp -r "$(go env GOMODCACHE)/$module/." "$1"
  chmod -R u+w "$1"
  chmod u+x "$1"/bin/* "$1"/pkg/tool/*/*
}
