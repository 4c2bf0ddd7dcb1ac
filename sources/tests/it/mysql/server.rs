//! Addresses, rights, encryption and health.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use quickchat_sources::{Collection, Connections, Health, LiveNames, LiveRequest, MySqlSettings, SourceTable};

use super::proxy::{Break, Proxy, Terms};
use super::{Database, authority, ids, named, server_url, settings, table, told};

const USERS: &str = "CREATE TABLE users (id INT PRIMARY KEY, email TEXT, password TEXT)";

fn with(settings: MySqlSettings) -> SourceTable {
    SourceTable::live(Collection::AuthUsers, LiveRequest::default(), Connections::with_mysql(settings))
}

async fn users() -> Database {
    Database::create(&[USERS, "INSERT INTO users VALUES (1, 'a@b', 'CANARY'), (2, 'c@d', 'CANARY')"]).await
}

#[tokio::test]
async fn addresses_of_jdbc_and_users_beside_them() {
    let database = users().await;
    let mut url = server_url();
    let (user, password) = (url.username().to_owned(), url.password().unwrap().to_owned());
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    url.set_path(&database.name);
    let jdbc =
        format!("jdbc:{url}?useSSL=false&serverTimezone=UTC&characterEncoding=utf8&allowPublicKeyRetrieval=true");
    let apart = MySqlSettings { user: Some(user), password: Some(password.into()), ..settings(jdbc) };
    assert_eq!(ids(with(apart), "auth_user_id").await.unwrap(), ["1", "2"]);
    database.drop().await;
}

#[tokio::test]
async fn connections_are_encrypted_and_verified() {
    let authority = authority().expect("QUICKCHAT_TEST_MYSQL_CA is not set: `scripts/services.sh start mysql`");
    let database = users().await;
    let health = |settings| async move {
        Connections::with_mysql(settings).check_mysql(&BTreeMap::new()).await.map_err(|error| error.to_string())
    };
    let at = |query: &str| settings(format!("{}{query}", database.url()));
    for (query, encrypted) in [("", true), ("?sslMode=REQUIRED", true), ("?sslMode=DISABLED", false)] {
        assert_eq!(is_encrypted(&health(at(query)).await.unwrap()), encrypted, "{query}");
    }
    // The authority of the test is none that everybody knows.
    for query in ["?sslMode=VERIFY_CA", "?sslMode=VERIFY_IDENTITY"] {
        let error = health(at(query)).await.unwrap_err();
        assert!(error.contains("cannot make a secure connection") && error.contains("MYSQL_CA"), "{error}");
    }
    let known = |query: &str| MySqlSettings { ca: Some(authority.clone().into()), ..at(query) };
    for query in ["", "?sslMode=VERIFY_CA", "?sslMode=VERIFY_IDENTITY"] {
        assert!(is_encrypted(&health(known(query)).await.unwrap()), "{query}");
    }
    assert_eq!(ids(with(known("")), "auth_user_id").await.unwrap(), ["1", "2"]);

    // By another name, the certificate is not that of the server.
    let wire = Proxy::start("127.0.0.2", Break::Cut, 0, 0).await;
    let renamed =
        |query: &str| MySqlSettings { url: wire.url(&format!("{}{query}", database.url())).into(), ..known("") };
    assert!(is_encrypted(&health(renamed("?sslMode=VERIFY_CA")).await.unwrap()));
    let error = health(renamed("")).await.unwrap_err();
    assert!(error.contains("cannot make a secure connection"), "{error}");

    let missing = MySqlSettings { ca: Some("/nowhere/ca.pem".into()), ..at("") };
    let error = health(missing).await.unwrap_err();
    assert!(error.contains("cannot read /nowhere/ca.pem, which MYSQL_CA names"), "{error}");
    database.drop().await;
}

#[tokio::test]
async fn a_server_without_tls_is_read_unless_the_address_forbids_it() {
    let database = users().await;
    let wire = Proxy::on(Terms { is_plain: true, ..Terms::default() }).await;
    let url = wire.url(&database.url());
    for query in ["", "?sslMode=PREFERRED", "?useSSL=true"] {
        let users = ids(with(settings(format!("{url}{query}"))), "auth_user_id").await.unwrap();
        assert_eq!(users, ["1", "2"], "{query}");
    }
    for query in ["?sslMode=REQUIRED", "?sslMode=VERIFY_CA"] {
        let (text, is_retried) = told(with(settings(format!("{url}{query}")))).await;
        assert!(text.contains("cannot make a secure connection") && !is_retried, "{query}: {text}");
    }
    let mariadb = url.replacen("mysql://", "jdbc:mariadb://", 1);
    let (text, _) = told(with(settings(format!("{mariadb}?useSsl=true")))).await;
    assert!(text.contains("cannot make a secure connection"), "{text}");
    database.drop().await;
}

#[tokio::test]
async fn who_may_not_read_is_told_so() {
    let database = users().await;
    let mut url = server_url();
    url.set_path(&database.name);
    url.set_password(Some("CANARY")).unwrap();
    let (text, is_retried) = told(with(settings(url.to_string()))).await;
    assert!(text.contains("MySQL refused planning to read auth_users") && text.contains("MYSQL_PASSWORD"), "{text}");
    assert!(!is_retried);
    database.drop().await;
}

/// A part of the test below that runs in a process of its own, whose environment names server, user and password.
const OTHER_PROCESS: &str = "QUICKCHAT_TEST_MYSQL_OTHER_PROCESS";

#[tokio::test]
async fn a_password_that_changed_is_read_again_from_its_file() {
    let right = server_url().password().unwrap().to_owned();
    if std::env::var_os(OTHER_PROCESS).is_some() {
        let file = std::env::var("MYSQL_PASSWORD_FILE").unwrap();
        let connections = Connections::from_environment();
        let table = SourceTable::live(Collection::AuthUsers, LiveRequest::default(), connections);
        let (text, is_retried) = told(table.clone()).await;
        assert!(text.contains("MySQL refused planning to read auth_users") && !is_retried, "{text}");
        std::fs::write(file, &right).unwrap();
        assert_eq!(ids(table, "auth_user_id").await.unwrap(), ["1", "2"]);
        return;
    }
    let database = users().await;
    let mut url = server_url();
    let user = url.username().to_owned();
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    url.set_path(&database.name);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "CANARY").unwrap();
    let this_test = concat!(module_path!(), "::a_password_that_changed_is_read_again_from_its_file");
    let this_test = this_test.split_once("::").unwrap().1;
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this_test])
        .env(OTHER_PROCESS, "1")
        .env("MYSQL_URL", url.as_str())
        .env("MYSQL_USER", user)
        .env("MYSQL_PASSWORD_FILE", file.path())
        .env_remove("MYSQL_PASSWORD")
        .env_remove("MYSQL_CA")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    database.drop().await;
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let database = users().await;
    let mut url = server_url();
    for name in ["quickchat_nowhere", "information_schema_CANARY"] {
        url.set_path(name);
        let (text, is_retried) = told_of_database(&url, name).await;
        assert!(text.contains(name) && !is_retried, "{text}");
    }
    let (text, is_retried) = told(database.table(Collection::AuthSessions)).await;
    assert!(text.contains("has no table `sessions` or `refresh_tokens`"), "{text}");
    assert!(text.contains("[mysql.auth_sessions]") && !is_retried, "{text}");

    let mapped = |lake: &str, source: &str| {
        let columns = [(lake.to_owned(), source.to_owned())].into_iter().collect();
        table(database.url(), Collection::AuthUsers, named(LiveNames { columns, ..LiveNames::default() }))
    };
    let (text, _) = told(mapped("external_id", "chat_user")).await;
    assert!(text.contains("table `users` has no column `chat_user` for auth_users.external_id"), "{text}");
    let (text, _) = told(mapped("externalid", "email")).await;
    assert!(text.contains("auth_users has no column `externalid`"), "{text}");
    let (text, _) = told(mapped("email", "password")).await;
    assert!(text.contains("holds secrets"), "{text}");
    let name = LiveNames { name: Some("user; DROP".to_owned()), ..LiveNames::default() };
    let (text, _) = told(table(database.url(), Collection::AuthUsers, named(name))).await;
    assert!(text.contains("has no table `user; DROP`"), "{text}");
    let field = LiveNames { changed_field: Some("touched".to_owned()), ..LiveNames::default() };
    let request = LiveRequest { names: field, changed_since: Some(5), ids_only: false };
    let (text, _) = told(table(database.url(), Collection::AuthUsers, request)).await;
    assert!(text.contains("no column `touched`"), "{text}");
    database.drop().await;
}

/// The error of a database that is not there; its name is no secret.
async fn told_of_database(url: &url::Url, name: &str) -> (String, bool) {
    let error = super::query(with(settings(url.to_string())), "SELECT 1 FROM t").await.unwrap_err();
    let is_retried = matches!(error.find_root(), datafusion::error::DataFusionError::IoError(_));
    let text = error.to_string();
    assert!(!text.contains(url.password().unwrap()), "{name}: {text}");
    (text, is_retried)
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_told_without_it() {
    for url in ["mysql://u:CANARY@h", "http://u:CANARY@h/d", "mysql://u:CANARY@h/d?sslMode=maybe"] {
        let (text, is_retried) = told(with(settings(url.to_owned()))).await;
        assert!(text.contains("MYSQL_URL cannot be used") && !is_retried, "{text}");
    }
}

#[tokio::test]
async fn health() {
    let mut database = users().await;
    let grants: Vec<String> = database.conn.query("SHOW GRANTS").await.unwrap();
    assert!(grants.iter().any(|grant| grant.contains("ALL PRIVILEGES")), "{grants:?}");
    let connections = Connections::with_mysql(settings(database.url()));
    let health = connections.check_mysql(&BTreeMap::new()).await.unwrap();
    assert!(health.place.ends_with(&format!("/{}", database.name)), "{health:?}");
    assert!(health.version.starts_with(|first: char| first.is_ascii_digit()), "{health:?}");
    let counts: BTreeMap<Collection, Option<u64>> = health.counts.iter().copied().collect();
    // The server's estimate.
    assert!(counts[&Collection::AuthUsers].is_some_and(|rows| rows <= 3), "{health:?}");
    assert_eq!((counts[&Collection::AuditLogs], counts.len()), (None, 3));
    assert!(health.warnings.iter().any(|warning| warning.contains("may change the database")), "{health:?}");
    // The server is on this machine, or near it.
    assert!(health.clock_ahead_millis.unwrap().abs() < 60_000, "{health:?}");
    assert!(health.latency.as_secs() < 10, "{health:?}");
    database.drop().await;
}

fn is_encrypted(health: &Health) -> bool {
    !health.warnings.iter().any(|warning| warning.contains("not encrypted"))
}
