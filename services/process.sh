# shellcheck shell=bash
# Sourced by scripts/services.sh: processes that outlive the script, and how they are recognised, asked and ended.
#
# A process is known by pid, start time and boot, so that a pid which the system has given to another process meanwhile
# is never taken for a server of ours.

# Prints what tells the process $1 from all others, or fails if it does not run (a zombie does not).
identity() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The second field, the command in parentheses, may hold spaces; those after it do not.
  read -ra fields <<<"${stat##*) }"
  [ "${fields[0]}" != Z ] || return 1
  printf '%s %s %s\n' "$1" "${fields[19]}" "$(cat /proc/sys/kernel/random/boot_id)"
}

# launch FOLDER COMMAND...: starts a server in FOLDER/data, which lives on when the script ends.
#
# The process notes its identity itself before it becomes the server, so that there is no moment at which an interrupt
# leaves a server that nobody knows. It keeps no descriptor of the script: neither its output, for whose end the
# caller's $(...) waits, nor its lock.
launch() {
  local folder=$1
  shift
  (
    cd "$folder/data" || exit
    exec </dev/null >>"$folder/log" 2>&1 9>&-
    identity "$BASHPID" >"$folder/process.new"
    mv "$folder/process.new" "$folder/process"
    exec setsid "$@"
  ) &
  within 10 test -e "$folder/process"
}

# Whether the server of a folder runs.
alive() {
  local known pid
  known=$(cat "$1/process" 2>/dev/null) || return 1
  pid=${known%% *}
  [ -n "$pid" ] && [ "$(identity "$pid")" = "$known" ]
}

# Ends the server of a folder, if it runs: politely, then by force.
terminate() {
  local signal pid
  for signal in TERM KILL; do
    alive "$1" || return 0
    pid=$(cut -d ' ' -f 1 "$1/process")
    kill "-$signal" "$pid" 2>/dev/null || true
    within 10 dead "$1" && return
  done
  say "Process $pid ($1) does not end."
  return 1
}

dead() { ! alive "$1"; }

# within SECONDS COMMAND...: runs the command until it succeeds, or fails when the time is over.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# Prints a port of 127.0.0.1 on which nobody listens, below those that systems give to outgoing connections.
free_port() {
  local port
  while :; do
    port=$(shuf -i 20000-31999 -n 1)
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  printf '%s\n' "$port"
}

# replies HOST:PORT REQUEST PATTERN: sends the request (in printf's escapes) to a server, and whether the beginning of
# its answer matches. So a server is asked in its own protocol without a client for it.
replies() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout 3 bash -c 'exec 3<>"/dev/tcp/${0%:*}/${0##*:}" && printf "$1" >&3 && dd bs=4096 count=1 status=none <&3' \
    "$1" "$2" 2>/dev/null | LC_ALL=C grep -qaE "$3"
}
