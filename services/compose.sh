# shellcheck shell=bash
# Sourced by scripts/services.sh: the services as containers, where there is docker.

# The command may be there without the engine, or without compose.
docker_works() {
  command -v docker >/dev/null && timeout 20 docker compose version >/dev/null 2>&1 && timeout 20 docker info >/dev/null 2>&1
}

# docker compose for one run: its containers carry a name made of the run's folder, and what compose.yml leaves open
# comes from the folders of the services.
compose() (
  local service
  for service in "${SERVICES[@]}"; do
    [ -e "$RUN/$service/port" ] || continue
    export "${service^^}_PORT=$(port "$RUN/$service")" "${service^^}_PASSWORD=$(password "$RUN/$service")"
  done
  export MYSQL_TLS=$RUN/mysql/tls
  docker compose --project-name "quickchat-$(printf '%s' "$RUN" | sha256sum | cut -c1-12)" \
    --file "$ROOT/services/compose.yml" "$@" 9>&-
)

compose_install() { [ "$1" != mysql ] || ensure_commands openssl:openssl; }

compose_start() {
  local service=${1##*/}
  if [ "$service" = mysql ]; then
    make_certificate "$1/tls" >>"$1/log" 2>&1
    # The server in the container is another user. The folder around lets nobody else in.
    chmod 755 "$1/tls"
    chmod 644 "$1"/tls/*
  fi
  compose up --detach --wait --wait-timeout 300 "$service" >&2 && return
  compose logs --tail 20 "$service" >>"$1/log" 2>&1 || true
  return 1
}

compose_running() { [ -n "$(compose ps --quiet --status running "${1##*/}" 2>/dev/null)" ]; }

# With the last container goes the network.
compose_stop() {
  compose rm --stop --force --volumes "${1##*/}" >&2 || return
  [ -n "$(compose ps --all --quiet)" ] || compose down --volumes >&2
}
