//! What values of the database become.

use std::collections::BTreeMap;

use quickchat_sources::{Collection, LiveNames, LiveRequest};

use super::{Database, named, query, since, table};

const NEW_USERS: &str = "CREATE TABLE auth_users (id CHAR(36) PRIMARY KEY, email VARCHAR(255), external_id VARCHAR(64), \
     password_hash VARCHAR(255) DEFAULT 'CANARY', status ENUM('active', 'locked'), two_factor_enabled TINYINT(1), \
     two_factor_secret TEXT, failed_login_attempts INT UNSIGNED, locked_until DATETIME, last_login_at TIMESTAMP NULL, \
     created_at DATETIME(6), updated_at TIMESTAMP(6) NULL)";
const OLD_USERS: &str = "CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, email VARCHAR(255), email_verified BIT(1), \
     two_factor_enabled TINYINT(1), last_login_at DATETIME, login_count BIGINT UNSIGNED, created_at TIMESTAMP NULL)";

#[tokio::test]
async fn the_newer_table_of_users() {
    let database = Database::create(&[
        NEW_USERS,
        "CREATE TABLE users (id INT PRIMARY KEY)",
        // The session of the test is in +05:30: so are the timestamps that it writes.
        "INSERT INTO auth_users VALUES ('a', 'zoë😀@example.org', 'x', 'CANARY', 'active', 1, 'CANARY', 4294967295, \
         '0000-00-00 00:00:00', '2024-02-29 05:30:01', '2024-02-29 00:00:01.5', '2024-02-29 05:30:00.25')",
        "INSERT INTO auth_users (id) VALUES ('b')",
        "INSERT INTO auth_users (id, email, two_factor_enabled, created_at) VALUES ('c', '', 0, '2024-00-00')",
    ])
    .await;
    let rows = query(
        database.table(Collection::AuthUsers),
        "SELECT auth_user_id, email, external_id, status, email_verified, two_factor_enabled, failed_login_attempts, \
         locked_until, last_login_at, login_count, created_at, updated_at FROM t WHERE _output = 0 ORDER BY 1",
    )
    .await
    .unwrap();
    let expected = [
        [
            "a",
            "zoë😀@example.org",
            "x",
            "active",
            "null",
            "true",
            "4294967295",
            "null",
            "2024-02-29T00:00:01Z",
            "null",
            "2024-02-29T00:00:01.500Z",
            "2024-02-29T00:00:00.250Z",
        ],
        ["b", "null", "null", "null", "null", "null", "null", "null", "null", "null", "null", "null"],
    ];
    assert_eq!(rows, expected);
    let sql = "SELECT _reject['reason'], _reject['field'], _reject['source_position'], _reject['raw'] FROM t WHERE _output = 1";
    let rejects = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0][..3], ["bad_date", "created_at", "mysql/auth_users:c"]);
    assert!(
        rejects[0][3].starts_with("{\"id\":\"c\",\"email\":null,") && !rejects[0][3].contains("CANARY"),
        "{rejects:?}"
    );
    database.drop().await;
}

#[tokio::test]
async fn the_older_table_of_users() {
    let database = Database::create(&[
        OLD_USERS,
        "INSERT INTO users VALUES (18446744073709551615, 'a@b', b'1', 0, '2024-01-02 03:04:05', 7, '2024-02-29 05:30:00')",
        "INSERT INTO users VALUES (1, 'a@b', b'0', 2, NULL, 7, NULL)",
        "INSERT INTO users VALUES (2, 'a@b', NULL, 1, NULL, 18446744073709551615, NULL)",
        "INSERT INTO users VALUES (3, 'a@b', b'0', 1, NULL, 9223372036854775807, NULL)",
    ])
    .await;
    let sql = "SELECT auth_user_id, email_verified, two_factor_enabled, last_login_at, login_count, created_at, updated_at \
               FROM t WHERE _output = 0 ORDER BY 1";
    let rows = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    let at = "2024-02-29T00:00:00Z";
    let expected = [
        ["18446744073709551615", "true", "false", "2024-01-02T03:04:05Z", "7", at, at],
        ["3", "false", "true", "null", "9223372036854775807", "null", "null"],
    ];
    assert_eq!(rows, expected);
    let sql =
        "SELECT _reject['reason'], _reject['field'], _reject['source_position'] FROM t WHERE _output = 1 ORDER BY 3";
    let rejects = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    let expected =
        [["wrong_type", "two_factor_enabled", "mysql/users:1"], ["wrong_type", "login_count", "mysql/users:2"]];
    assert_eq!(rejects, expected);
    database.drop().await;
}

#[tokio::test]
async fn sessions_and_audit_logs() {
    let database = Database::create(&[
        "CREATE TABLE refresh_tokens (id INT PRIMARY KEY, user_id INT, token CHAR(64), user_agent TEXT, revoked BIT(1), \
         revoked_at DATETIME, expires_at DATETIME, created_at DATETIME)",
        "INSERT INTO refresh_tokens VALUES (1, 7, 'CANARY', 'CANARY', b'1', '2024-01-03', '2024-01-04', '2024-01-02'), \
         (2, 7, 'CANARY', 'CANARY', b'0', NULL, NULL, NULL)",
        "CREATE TABLE audit_logs (id BIGINT PRIMARY KEY, user_id BINARY(2), event_type VARCHAR(20), details JSON, \
         user_agent TEXT, created_at DATETIME(3))",
        "INSERT INTO audit_logs VALUES (1, NULL, 'login', '{\"a\":\"CANARY\"}', 'CANARY', '2024-01-02 03:04:05.678')",
    ])
    .await;
    let sql = "SELECT session_id, auth_user_id, is_revoked, revoked_at, expires_at, created_at, updated_at FROM t WHERE _output = 0";
    let rows = query(database.table(Collection::AuthSessions), sql).await.unwrap();
    let [created, revoked, expires] = ["2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z", "2024-01-04T00:00:00Z"];
    assert_eq!(rows, [["1", "7", "true", revoked, expires, created, revoked]]);
    let sql = "SELECT _reject['reason'], _reject['field'], _reject['raw'] FROM t WHERE _output = 1";
    let rejects = query(database.table(Collection::AuthSessions), sql).await.unwrap();
    assert_eq!(rejects[0][..2], ["missing_key", "created_at"]);
    assert!(!rejects[0][2].contains("CANARY") && !rejects[0][2].contains("token"), "{rejects:?}");
    let sql = "SELECT audit_id, event_type, created_at FROM t WHERE _output = 0";
    let rows = query(database.table(Collection::AuditLogs), sql).await.unwrap();
    assert_eq!(rows, [["1", "login", "2024-01-02T03:04:05.678Z"]]);
    database.drop().await;
}

#[tokio::test]
async fn text_of_any_character_set_and_text_that_is_none() {
    let database = Database::create(&[
        "CREATE TABLE auth_users (id VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY, \
         email VARCHAR(50) CHARACTER SET latin1, external_id VARBINARY(20), status TEXT CHARACTER SET utf8mb4)",
        "INSERT INTO auth_users VALUES ('\u{e9}', '\u{fc}@\u{f6}', 'plain', '😀 null \\\\N'), ('b', '', X'ff00', '')",
    ])
    .await;
    let sql = "SELECT auth_user_id, email, external_id, status FROM t WHERE _output = 0";
    let rows = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    assert_eq!(rows, [["\u{e9}", "\u{fc}@\u{f6}", "plain", "😀 null \\N"]]);
    let sql = "SELECT _reject['reason'], _reject['source_position'], _reject['raw'] FROM t WHERE _output = 1";
    let rejects = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    assert_eq!(rejects[0][..2], ["invalid_utf8", "mysql/auth_users:b"]);
    assert!(rejects[0][2].contains("\u{fffd}"), "{rejects:?}");
    database.drop().await;
}

#[tokio::test]
async fn columns_are_called_as_the_configuration_says() {
    let database = Database::create(&[
        "CREATE TABLE `odd``name` (`the key` INT PRIMARY KEY, id INT, mail TEXT, email TEXT, `a``b` VARCHAR(9), \
         touched DATETIME)",
        "INSERT INTO `odd``name` VALUES (5, 6, 'right', 'wrong', 'user-1', '2024-01-01')",
    ])
    .await;
    let columns = [("auth_user_id", "the key"), ("email", "MAIL"), ("external_id", "a`b"), ("updated_at", "touched")];
    let names = LiveNames {
        name: Some("odd`name".to_owned()),
        columns: columns.map(|(lake, source)| (lake.to_owned(), source.to_owned())).into_iter().collect(),
        ..LiveNames::default()
    };
    let sql = "SELECT auth_user_id, email, external_id, updated_at FROM t WHERE _output = 0";
    let rows = query(table(database.url(), Collection::AuthUsers, named(names.clone())), sql).await.unwrap();
    assert_eq!(rows, [["5", "right", "user-1", "2024-01-01T00:00:00Z"]]);
    // The watermark goes by the column that the map names.
    let later = LiveRequest { names, ..since(1_800_000_000_000_000) };
    assert!(query(table(database.url(), Collection::AuthUsers, later), sql).await.unwrap().is_empty());
    database.drop().await;
}

#[tokio::test]
async fn a_column_of_another_type_harms_the_rows_it_must() {
    let database = Database::create(&[
        "CREATE TABLE auth_users (id DECIMAL(10, 2), email JSON, login_count DOUBLE, created_at VARCHAR(40), \
         updated_at BIGINT, two_factor_enabled CHAR(5), last_login_at DATE)",
        "INSERT INTO auth_users VALUES (1.5, '{}', 5, '2024-01-01T00:00:00+01:00', NULL, 'TRUE', '2024-01-01')",
        "INSERT INTO auth_users VALUES (2.5, '[]', 5.5, NULL, NULL, 'no', NULL)",
        "INSERT INTO auth_users VALUES (3.5, NULL, NULL, NULL, 1700000000, NULL, NULL)",
        "INSERT INTO auth_users VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    ])
    .await;
    let sql = "SELECT auth_user_id, email, two_factor_enabled, last_login_at, login_count, created_at FROM t WHERE _output = 0";
    // Without a time to tell changes by, all rows are read.
    let table = table(database.url(), Collection::AuthUsers, since(1_900_000_000_000_000));
    let rows = query(table.clone(), sql).await.unwrap();
    assert_eq!(rows, [["1.50", "{}", "true", "2024-01-01T00:00:00Z", "5", "2023-12-31T23:00:00Z"]]);
    let sql =
        "SELECT _reject['reason'], _reject['field'], _reject['source_position'] FROM t WHERE _output = 1 ORDER BY 3";
    let rejects = query(table, sql).await.unwrap();
    let fields: BTreeMap<&str, &str> = rejects.iter().map(|row| (row[2].as_str(), row[1].as_str())).collect();
    let expected = [
        // Without a key, the row is found by its number.
        ("mysql/auth_users:2.50", "two_factor_enabled"),
        ("mysql/auth_users:3.50", "updated_at"),
        ("mysql/auth_users:4", "id"),
    ];
    assert_eq!(fields, expected.into_iter().collect());
    database.drop().await;
}

#[tokio::test]
async fn times_in_the_zone_of_the_application() {
    let database = Database::create(&[
        "CREATE TABLE audit_logs (id INT PRIMARY KEY, created_at DATETIME(6))",
        "INSERT INTO audit_logs VALUES (1, '2024-01-01 02:00:00.000001')",
        "CREATE TABLE auth_users (id INT PRIMARY KEY, created_at TIMESTAMP NULL)",
        "INSERT INTO auth_users VALUES (1, '2024-01-01 05:30:00')",
    ])
    .await;
    let zoned = format!("jdbc:{}?serverTimezone=%2B02:00", database.url());
    let sql = "SELECT created_at FROM t WHERE _output = 0";
    let expected = [["2024-01-01T00:00:00.000001Z"]];
    assert_eq!(query(table(zoned.clone(), Collection::AuditLogs, since(1)), sql).await.unwrap(), expected);
    let midnight = 1_704_067_200_000_000;
    let from_midnight = table(zoned.clone(), Collection::AuditLogs, since(midnight));
    assert_eq!(query(from_midnight, sql).await.unwrap(), expected);
    let hours = 3_600_000_000;
    let much_later = table(zoned.clone(), Collection::AuditLogs, since(midnight + 3 * hours));
    assert!(query(much_later, sql).await.unwrap().is_empty());
    let rows = query(table(zoned, Collection::AuthUsers, since(1)), sql).await.unwrap();
    assert_eq!(rows, [["2024-01-01T00:00:00Z"]]);
    let unknown = format!("jdbc:{}?serverTimezone=Mars/Olympus", database.url());
    let (text, is_retried) = super::told(table(unknown, Collection::AuditLogs, since(1))).await;
    assert!(text.contains("serverTimezone must be the name of a zone") && !is_retried, "{text}");
    database.drop().await;
}

#[tokio::test]
async fn times_in_a_zone_with_summer_time() {
    let database = Database::create(&[
        "CREATE TABLE audit_logs (id INT PRIMARY KEY, created_at DATETIME(6))",
        "INSERT INTO audit_logs VALUES (1, '2024-01-01 02:00:00'), (2, '2024-07-01 02:00:00.000001'), \
         (3, '2045-07-01 02:00:00'), (4, '2024-10-27 02:30:00'), (5, '2024-03-31 02:30:00'), (6, '2024-00-00')",
    ])
    .await;
    let zoned = format!("{}?serverTimezone=Europe/Berlin", database.url());
    let all = table(zoned.clone(), Collection::AuditLogs, LiveRequest::default());
    let sql = "SELECT audit_id, created_at FROM t WHERE _output = 0 ORDER BY 1";
    let expected = [
        ["1", "2024-01-01T01:00:00Z"],
        ["2", "2024-07-01T00:00:00.000001Z"],
        ["3", "2045-07-01T00:00:00Z"],
        // The first of two, and what it would be had clocks not been put forward.
        ["4", "2024-10-27T00:30:00Z"],
        ["5", "2024-03-31T01:30:00Z"],
    ];
    assert_eq!(query(all.clone(), sql).await.unwrap(), expected);
    let sql = "SELECT _reject['reason'], _reject['source_position'] FROM t WHERE _output = 1";
    assert_eq!(query(all, sql).await.unwrap(), [["bad_date", "mysql/audit_logs:6"]]);
    // Half past midnight, an hour that comes twice: what was written from then on is read.
    let changed = table(zoned, Collection::AuditLogs, since(1_729_989_000_000_000));
    let sql = "SELECT audit_id FROM t WHERE _output = 0 ORDER BY 1";
    assert_eq!(query(changed, sql).await.unwrap(), [["3"], ["4"]]);
    database.drop().await;
}

#[tokio::test]
async fn an_empty_text_is_null_as_in_an_export() {
    let database = Database::create(&[
        "CREATE TABLE auth_users (id INT PRIMARY KEY, email VARCHAR(9), external_id VARCHAR(9) NOT NULL, status TEXT)",
        "INSERT INTO auth_users VALUES (1, '', '', ' '), (2, NULL, 'x', '')",
    ])
    .await;
    let sql = "SELECT auth_user_id, email, external_id, status FROM t WHERE _output = 0 ORDER BY 1";
    let rows = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    assert_eq!(rows, [["1", "null", "null", " "], ["2", "null", "x", "null"]]);
    database.drop().await;
}

#[tokio::test]
async fn bytes_become_what_they_mean() {
    let database = Database::create(&[
        "CREATE TABLE audit_logs (id BINARY(16) PRIMARY KEY, user_id BINARY(2), session_id VARBINARY(9), \
         ip_address VARBINARY(16), created_at DATETIME)",
        "INSERT INTO audit_logs VALUES \
         (X'00ff000000000000000000000000abcd', X'c3a9', 'text', INET6_ATON('203.0.113.77'), '2024-01-02'), \
         (X'01000000000000000000000000000000', NULL, NULL, INET6_ATON('2001:db8::1'), '2024-01-02'), \
         (X'02000000000000000000000000000000', NULL, NULL, '192.0.2.1', '2024-01-02'), \
         (X'03000000000000000000000000000000', NULL, NULL, NULL, '2024-01-02')",
    ])
    .await;
    let sql = "SELECT audit_id, auth_user_id, session_id, ip_address FROM t WHERE _output = 0 ORDER BY 1";
    let rows = query(database.table(Collection::AuditLogs), sql).await.unwrap();
    let zeros = "0".repeat(30);
    let expected = [
        ["00ff000000000000000000000000abcd", "c3a9", "text", "203.0.113.77"],
        [&format!("01{zeros}"), "null", "null", "2001:db8::1"],
        [&format!("02{zeros}"), "null", "null", "192.0.2.1"],
        [&format!("03{zeros}"), "null", "null", "null"],
    ];
    assert_eq!(rows, expected);
    database.drop().await;
}

#[tokio::test]
async fn bytes_of_a_fixed_number_may_be_padded_addresses_or_text() {
    let database = Database::create(&[
        "CREATE TABLE audit_logs (id BINARY(36) PRIMARY KEY, user_id BINARY(24), ip_address BINARY(16), created_at DATETIME)",
        "INSERT INTO audit_logs VALUES \
         ('5f0c2b1e-0000-4000-8000-00000000000A', '65a1b2c3d4e5f60718293a4b', INET6_ATON('203.0.113.77'), '2024-01-02'), \
         ('5f0c2b1e-0000-4000-8000-00000000000b', NULL, INET6_ATON('2001:db8::1'), '2024-01-02')",
    ])
    .await;
    let sql = "SELECT audit_id, auth_user_id, ip_address FROM t WHERE _output = 0 ORDER BY 1";
    let rows = query(database.table(Collection::AuditLogs), sql).await.unwrap();
    let expected = [
        ["5f0c2b1e-0000-4000-8000-00000000000A", "65a1b2c3d4e5f60718293a4b", "203.0.113.77"],
        ["5f0c2b1e-0000-4000-8000-00000000000b", "null", "2001:db8::1"],
    ];
    assert_eq!(rows, expected);
    database.drop().await;
}

#[tokio::test]
async fn decimals_keep_all_their_digits() {
    let database = Database::create(&[
        "CREATE TABLE auth_users (id INT PRIMARY KEY, login_count DECIMAL(20, 2))",
        "INSERT INTO auth_users VALUES (1, 9007199254740993), (2, 9007199254740993.5)",
    ])
    .await;
    let sql = "SELECT auth_user_id, login_count FROM t WHERE _output = 0";
    let rows = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    assert_eq!(rows, [["1", "9007199254740993"]]);
    let sql = "SELECT _reject['reason'], _reject['field'], _reject['source_position'] FROM t WHERE _output = 1";
    let rejects = query(database.table(Collection::AuthUsers), sql).await.unwrap();
    assert_eq!(rejects, [["wrong_type", "login_count", "mysql/auth_users:2"]]);
    database.drop().await;
}
