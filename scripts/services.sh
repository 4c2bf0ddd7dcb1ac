#!/usr/bin/env bash
# Servers for tests of the live sources and of the lake on S3: starts them, ends them, and tells where they are.
#
#   scripts/services.sh start|stop|status [mongodb] [mysql] [s3] [kafka]
#
# Without names, `start` and `status` take mongodb, mysql and s3, `stop` all that run. `start` prints the lines that set
# the tests' variables, and nothing else, on standard output. services/README.md tells the rest.

. "$(dirname "${BASH_SOURCE[0]}")/machine.sh"

SERVICES=(mongodb mysql s3 kafka)
# The variables by which the environment names a server.
declare -A NAMED_BY=([mongodb]=MONGODB_URI [mysql]=MYSQL_URL [s3]=AWS_ENDPOINT_URL [kafka]=KAFKA_BOOTSTRAP_SERVERS)
# One folder a run, so that two checkouts can have servers of their own.
RUN=$(realpath -m "${QUICKCHAT_SERVICES_DIR:-$CACHE/services/run}")
SECONDS_TO_START=120

for part in process install compose "${SERVICES[@]}"; do
  # shellcheck source=/dev/null
  . "$ROOT/services/$part.sh"
done

# What is in the folder of a service. All of it is there for one run only.

port() { cat "$1/port"; }
password() { cat "$1/password"; }
backend() { cat "$1/backend"; } # local or compose

# What the environment says.

# Secrets may be in a file, which NAME_FILE names.
is_set() {
  local file=$1_FILE
  [ -n "${!1:-}" ] || [ -n "${!file:-}" ]
}

value_of() {
  local file=$1_FILE
  if [ -n "${!1:-}" ]; then
    printf '%s' "${!1}"
  elif [ -n "${!file:-}" ]; then
    cat "${!file}"
  fi
}

# must_be_set VARIABLE OTHER...: ends this if an other is not set; VARIABLE is.
must_be_set() {
  local named=$1 other
  shift
  for other in "$@"; do
    is_set "$other" || refuse "$other" "set, as $named names a server"
  done
}

# must_be VARIABLE PATTERN FORM: ends this if the value is not of the form that the tests can use.
must_be() { [[ $(value_of "$1") =~ $2 ]] || refuse "$1" "$3"; }

refuse() {
  say "$1 must be $2: the tests could not use the server."
  exit 2
}

export_line() { printf "export %s='%s'\n" "$1" "${2//\'/\'\\\'\'}"; }

# Percent-encodes all that has a meaning in a url, byte by byte.
percent() {
  local LC_ALL=C i character
  for ((i = 0; i < ${#1}; i++)); do
    character=${1:i:1}
    case $character in
      [a-zA-Z0-9._~-]) printf '%s' "$character" ;;
      *) printf '%%%02X' "'$character" ;;
    esac
  done
}

# addresses TEXT: prints the servers of a url or of a list, each as host:port, where all have a port.
addresses() {
  local rest=${1#*://}
  rest=${rest%%[/?]*}
  tr , '\n' <<<"${rest##*@}"
}

# Whether a server that the environment names for a service answers.
named_answers() {
  local address
  for address in $(addresses "$(value_of "${NAMED_BY[$1]}")"); do
    "${1}_answers" "$address" && return
  done
  return 1
}

# The commands.

start() {
  # Whatever the commands within say, standard output is for the lines below.
  start_all "$@" >&2
  local service
  for service in "$@"; do
    "${service}_named" || cat "$RUN/$service/exports"
  done
}

start_all() {
  local service way=local wanted=()
  for service in "$@"; do
    if "${service}_named" >/dev/null; then
      say "$service: the environment names a server"
    elif is_running "$RUN/$service" && settles "$RUN/$service"; then
      say "$service: runs already"
    else
      wanted+=("$service")
    fi
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  ! docker_works || way=compose
  for service in "${wanted[@]}"; do
    "${way}_install" "$service"
  done
  # From here on, whatever is written is for the eyes of this user.
  umask 077
  for service in "${wanted[@]}"; do
    start_one "$way" "$RUN/$service"
  done
}

# The exports are written last: a folder without them is what an interrupted start left.
start_one() {
  local way=$1 folder=$2 began=$SECONDS
  discard "$folder"
  STARTING=$folder
  mkdir "$folder"
  printf '%s\n' "$way" >"$folder/backend"
  free_port >"$folder/port"
  head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/password"
  "${way}_start" "$folder"
  "${folder##*/}_exports" "$folder" >"$folder/exports"
  STARTING=
  say "${folder##*/}: started in $((SECONDS - began)) s"
}

local_install() { "${1}_install"; }

local_start() {
  mkdir "$1/data"
  "${1##*/}_launch" "$1"
  settles "$1"
}

# Waits until a server answers; fails when it dies instead, or takes too long.
settles() {
  [ "$(backend "$1")" = local ] || return 0
  within "$SECONDS_TO_START" answers_or_dead "$1" && alive "$1"
}

answers() { [ "$(backend "$1")" = compose ] || "${1##*/}_ready" "$1"; }
answers_or_dead() { answers "$1" || dead "$1"; }

is_running() {
  [ -e "$1/exports" ] || return 1
  if [ "$(backend "$1")" = compose ]; then compose_running "$1"; else alive "$1"; fi
}

# One that cannot be stopped keeps none of the others.
stop() {
  local service code=0
  for service in "$@"; do
    [ -e "$RUN/$service" ] || continue
    if discard "$RUN/$service"; then say "$service: stopped, data removed"; else code=1; fi
  done
  return $code
}

# Ends what runs in the folder of a service, and removes it. The file `backend`, first written and last removed, shows
# that the folder is ours.
discard() {
  [ -e "$1" ] || return 0
  if [ -e "$1/backend" ]; then
    case $(backend "$1") in
      compose) compose_stop "$1" || return ;;
      *) terminate "$1" || return ;;
    esac
    if ! within 20 emptied "$1"; then
      say "Something still writes to $1."
      return 1
    fi
    rm "$1/backend"
  fi
  rmdir "$1"
}

# Whether nothing but the mark is left. What was ended in the middle of making a database may write a moment longer.
emptied() {
  find "$1" -mindepth 1 ! -path "$1/backend" -delete 2>/dev/null
  [ "$(ls -A "$1")" = backend ]
}

status() {
  local service code=0
  for service in "$@"; do
    state "$service" || code=1
  done
  return $code
}

# Prints how a service is, and whether it can be used.
state() {
  local folder=$RUN/$1 text code=1
  if "${1}_named" >/dev/null; then
    text='named by the environment'
    if named_answers "$1"; then code=0; else text+=', does not answer'; fi
  elif is_running "$folder"; then
    text="runs ($(backend "$folder")) on 127.0.0.1:$(port "$folder") in $folder"
    if answers "$folder"; then code=0; else text="does not answer: $text"; fi
  elif "${1}_installed"; then
    text='installed, does not run'
  elif docker_works; then
    text='does not run, docker compose will start it'
  else
    text='not installed'
  fi
  printf '%-8s %s\n' "$1" "$text"
  return $code
}

# One command at a time may change a run. The folder itself is the lock, so that nothing is left of it; whoever waited
# for a `stop` finds the folder gone, and tries again with a new one.
lock() {
  until [ "$RUN" -ef /proc/self/fd/9 ]; do
    mkdir -p "$RUN"
    exec 9<"$RUN"
    flock --nonblock 9 && continue
    say "Waiting for another services.sh to end"
    if ! flock --timeout 1200 9; then
      say "It still holds $RUN."
      exit 1
    fi
  done
}

# A start that fails or is interrupted leaves no server behind, and says what the server said.
STARTING=
clean_up() {
  local code=$?
  trap '' HUP INT TERM
  if [ -n "$STARTING" ]; then
    say "${STARTING##*/} was not started. The end of its log:"
    tail -n 20 "$STARTING/log" >&2 || true
    discard "$STARTING" || true
  fi
  rmdir --ignore-fail-on-non-empty "$RUN" || true
  exit "$code"
}

usage() {
  say "Usage: $0 start|stop|status [${SERVICES[*]}]"
  exit 2
}

main() {
  local command=${1:-} service
  case $command in start | stop | status) ;; *) usage ;; esac
  shift
  for service in "$@"; do
    case " ${SERVICES[*]} " in *" $service "*) ;; *) usage ;; esac
  done
  if [ $# -eq 0 ]; then
    case $command in
      stop) set -- "${SERVICES[@]}" ;;
      *) set -- mongodb mysql s3 ;;
    esac
  fi
  if [ "$command" = status ]; then
    status "$@"
    return
  fi
  trap clean_up EXIT
  trap 'exit 130' INT
  lock
  # From now on a signal is answered when the command that runs has ended, so that nothing is removed under it.
  trap 'exit 129' HUP
  trap 'exit 143' TERM
  "$command" "$@"
}

main "$@"
