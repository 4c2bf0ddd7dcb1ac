# shellcheck shell=bash
# Sourced by scripts/services.sh: a server that speaks MongoDB's protocol, FerretDB on SQLite. MongoDB itself is in no
# registry of packages.

# go.sum pins FerretDB and all that it is built from.
mongodb_program() { printf 'ferretdb-1.24.2-%s\n' "$(digest "$ROOT"/services/ferretdb/{go.sum,main.go})"; }

mongodb_named() {
  is_set MONGODB_URI || return 1
  # The tests stand between, by addresses of their own.
  must_be MONGODB_URI '^mongodb://([^@/]*@)?[^@,/?]+:[0-9]+([/?]|$)' 'mongodb://[user:password@]host:port/…, without TLS'
  case $(value_of MONGODB_URI) in *[?\&]tls=true* | *[?\&]ssl=true*) refuse MONGODB_URI 'an address without TLS' ;; esac
  export_line QUICKCHAT_TEST_MONGODB_URI "$(value_of MONGODB_URI)"
}

mongodb_installed() { is_installed "$(mongodb_program)"; }

mongodb_install() {
  mongodb_installed && return
  ensure_go
  install_once "$(mongodb_program)" build_ferretdb
}

build_ferretdb() {
  (cd "$ROOT/services/ferretdb" && persistently go build -trimpath -tags ferretdb_sqlite -o "$1/ferretdb" .) >&2
}

mongodb_launch() {
  launch "$1" "$INSTALLED/$(mongodb_program)/ferretdb" -address "127.0.0.1:$(port "$1")" -data "$1/data"
}

mongodb_ready() { mongodb_answers "127.0.0.1:$(port "$1")"; }

# An OP_MSG with the document {hello: 1, $db: "admin"}.
mongodb_answers() {
  local header='\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0' flags='\0\0\0\0' section='\0'
  # shellcheck disable=SC2016 # $db is the name of the field
  local document='\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0'
  replies "$1" "$header$flags$section$document" maxWireVersion
}

mongodb_exports() {
  local options=''
  [ "$(backend "$1")" = local ] || options='?replicaSet=rs0'
  export_line QUICKCHAT_TEST_MONGODB_URI "mongodb://127.0.0.1:$(port "$1")/$options"
}
