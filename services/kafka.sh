# shellcheck shell=bash
# Sourced by scripts/services.sh: one Apache Kafka broker, from Maven's registry.

KAFKA_VERSION=4.1.0

kafka_program() { printf 'kafka-%s-%s\n' "$KAFKA_VERSION" "$(digest "$ROOT/services/kafka/pom.xml")"; }

kafka_named() {
  is_set KAFKA_BOOTSTRAP_SERVERS || return 1
  export_line QUICKCHAT_TEST_KAFKA_BROKERS "$(value_of KAFKA_BOOTSTRAP_SERVERS)"
}

kafka_installed() { is_installed "$(kafka_program)" && command -v java >/dev/null; }

kafka_install() {
  ensure_commands java:default-jre-headless
  install_once "$(kafka_program)" download_kafka
}

download_kafka() {
  ensure_commands mvn:maven
  persistently mvn --quiet --batch-mode --strict-checksums --file "$ROOT/services/kafka/pom.xml" -Dkafka.version="$KAFKA_VERSION" \
    dependency:copy-dependencies -DoutputDirectory="$1" >&2
}

kafka_launch() {
  kafka_properties "$1" >"$1/server.properties"
  local java=(java -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$INSTALLED/$(kafka_program)/*")
  "${java[@]}" kafka.tools.StorageTool format --cluster-id QuickChatTestsAAAAAAAA --config "$1/server.properties" \
    >>"$1/log" 2>&1
  launch "$1" "${java[@]}" kafka.Kafka "$1/server.properties"
}

# One broker that is its own controller; what Kafka keeps three copies of by default has one.
kafka_properties() {
  local controller
  controller=127.0.0.1:$(free_port)
  cat <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$(port "$1"),CONTROLLER://$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$(port "$1")
controller.listener.names=CONTROLLER
controller.quorum.voters=1@$controller
log.dirs=$1/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
}

# A request for the versions that the broker speaks (key 18, version 0); the answer repeats its correlation id, `ping`.
kafka_answers() { replies "$1" '\0\0\0\x0a\0\x12\0\0ping\xff\xff' ping; }

kafka_ready() { kafka_answers "127.0.0.1:$(port "$1")"; }

kafka_exports() { export_line QUICKCHAT_TEST_KAFKA_BROKERS "127.0.0.1:$(port "$1")"; }
