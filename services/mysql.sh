# shellcheck shell=bash
# Sourced by scripts/services.sh: MariaDB, as Debian has it.

# Debian keeps servers where users do not look.
PATH=$PATH:/usr/sbin

mysql_named() {
  is_set MYSQL_URL || return 1
  # Some tests are about certificates.
  must_be_set MYSQL_URL MYSQL_CA
  must_be MYSQL_URL '^(jdbc:)?[a-z]+://([^@/]*@)?[^@,/?]+:[0-9]+/' 'mysql://host:port/database'
  local url
  url=$(value_of MYSQL_URL)
  url=${url#jdbc:}
  # The tests take one url; the project's user and password may come apart from it.
  if is_set MYSQL_USER && [[ $url != *://*@* ]]; then
    url=${url%%://*}://$(percent "$(value_of MYSQL_USER)"):$(percent "$(value_of MYSQL_PASSWORD)")@${url#*://}
  fi
  export_line QUICKCHAT_TEST_MYSQL_URL "$url"
  export_line QUICKCHAT_TEST_MYSQL_CA "$(realpath "$(value_of MYSQL_CA)")"
}

mysql_installed() {
  local program
  for program in mariadbd mariadb-install-db mariadb openssl; do
    command -v "$program" >/dev/null || return 1
  done
}

# The packages named -core hold the programs only: the others start a server of the system's.
mysql_install() {
  ensure_commands mariadbd:mariadb-server-core mariadb:mariadb-client-core openssl:openssl
}

mysql_launch() {
  make_certificate "$1/tls" >>"$1/log" 2>&1
  mkdir "$1/tmp"
  mysql_rights "$(password "$1")" >"$1/rights.sql"
  # `root`, or who else runs this, comes in by the socket only.
  mariadb-install-db --no-defaults --datadir="$1/data" --user="$(id -un)" --skip-test-db --extra-file="$1/rights.sql" \
    --auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" >>"$1/log" 2>&1
  local options=(
    --no-defaults --user="$(id -un)" --datadir="$1/data" --tmpdir="$1/tmp"
    # Relative to the data folder, as the path of a socket may not be long.
    --socket=socket --pid-file=pid --bind-address=127.0.0.1 --port="$(port "$1")"
    --ssl-ca="$1/tls/ca.pem" --ssl-cert="$1/tls/server.pem" --ssl-key="$1/tls/server.key"
    --character-set-server=utf8mb4 --default-time-zone=+00:00 --max-allowed-packet=64M
    # The data are thrown away: nothing need survive a crash.
    --innodb-flush-log-at-trx-commit=0 --skip-innodb-doublewrite --innodb-buffer-pool-size=64M
    --innodb-log-file-size=32M
  )
  launch "$1" mariadbd "${options[@]}"
}

# What the user of the tests may do, and the one time zone that the tests call by name.
mysql_rights() {
  cat <<SQL
FLUSH PRIVILEGES;
CREATE DATABASE quickchat CHARACTER SET utf8mb4;
CREATE USER quickchat IDENTIFIED BY '$1';
GRANT ALL ON \`quickchat%\`.* TO quickchat;
INSERT INTO mysql.time_zone VALUES (1, 'N');
INSERT INTO mysql.time_zone_name VALUES ('UTC', 1);
INSERT INTO mysql.time_zone_transition_type VALUES (1, 0, 0, 0, 'UTC');
SQL
}

mysql_ready() {
  MYSQL_PWD=$(password "$1") mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port="$(port "$1")" \
    --user=quickchat --connect-timeout=2 --execute='SELECT 1' quickchat >/dev/null 2>&1
}

# A server speaks first, of its version.
mysql_answers() { replies "$1" '' '^[0-9]+\.[0-9]+'; }

mysql_exports() {
  export_line QUICKCHAT_TEST_MYSQL_URL "mysql://quickchat:$(password "$1")@127.0.0.1:$(port "$1")/quickchat"
  export_line QUICKCHAT_TEST_MYSQL_CA "$1/tls/ca.pem"
}

# A certificate for 127.0.0.1 and localhost, and the authority that signed it, in a new folder.
make_certificate() (
  mkdir "$1"
  cd "$1" || exit
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${key[@]}" -days 30 -subj '/CN=QuickChat tests' -keyout ca.key -out ca.pem
  openssl req "${key[@]}" -subj /CN=localhost -keyout server.key -out server.csr
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.pem \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  rm ca.key server.csr
)
