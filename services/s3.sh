# shellcheck shell=bash
# Sourced by scripts/services.sh: MinIO, built from source, as upstream publishes no binaries any more.

S3_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c

s3_named() {
  is_set AWS_ENDPOINT_URL || return 1
  must_be_set AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  # The tests stand between, and have requests fail that they must be able to read.
  must_be AWS_ENDPOINT_URL '^http://[^@/?]+:[0-9]+/?$' 'http://host:port, without TLS'
  export_line QUICKCHAT_TEST_S3_ENDPOINT "$(value_of AWS_ENDPOINT_URL)"
  export_line QUICKCHAT_TEST_S3_ACCESS_KEY "$(value_of AWS_ACCESS_KEY_ID)"
  export_line QUICKCHAT_TEST_S3_SECRET_KEY "$(value_of AWS_SECRET_ACCESS_KEY)"
}

s3_installed() { is_installed "minio-$S3_VERSION"; }

s3_install() {
  s3_installed && return
  ensure_go
  install_once "minio-$S3_VERSION" build_minio
}

build_minio() { GOBIN=$1 persistently go install "github.com/minio/minio@$S3_VERSION" >&2; }

s3_launch() (
  # What the caller's environment or home folder says about another MinIO must not change this one.
  unset "${!MINIO_@}"
  mkdir "$1/certs"
  export MINIO_ROOT_USER=quickchat MINIO_ROOT_PASSWORD MINIO_BROWSER=off MINIO_UPDATE=off
  MINIO_ROOT_PASSWORD=$(password "$1")
  launch "$1" "$INSTALLED/minio-$S3_VERSION/minio" server --quiet --certs-dir "$1/certs" \
    --address "127.0.0.1:$(port "$1")" "$1/data"
)

s3_ready() {
  local request='GET /minio/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  replies "127.0.0.1:$(port "$1")" "$request" '^HTTP/1\.1 200'
}

# To somebody without a key every server answers something.
s3_answers() { replies "$1" 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' '^HTTP/1\.[01] '; }

s3_exports() {
  export_line QUICKCHAT_TEST_S3_ENDPOINT "http://127.0.0.1:$(port "$1")"
  export_line QUICKCHAT_TEST_S3_ACCESS_KEY quickchat
  export_line QUICKCHAT_TEST_S3_SECRET_KEY "$(password "$1")"
}
