//! Servers that are reached by TLS, and addresses that a name service has to be asked about.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quickchat_mongodb_stand_in::{Access, Deployment, Script};
use quickchat_sources::LiveRequest;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{USERS, expected, patient_table, read, start, table, told, users};

/// An authority of its own, and a certificate for `localhost` that it signed.
struct Authority {
    folder: TempDir,
}

impl Authority {
    /// Made as that of the tests' MySQL server is, by services/mysql.sh.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for arguments in [
            format!("req -x509 {key} -days 1 -subj /CN=tests -keyout ca.key -out ca.pem"),
            format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out server.pem -extfile names"
                .to_owned(),
        ] {
            openssl(folder.path(), &arguments);
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The option of an address that has this authority trusted, and no other.
    fn option(&self) -> String {
        format!("&tlsCAFile={}", self.file("ca.pem").display())
    }

    fn server_config(&self) -> ServerConfig {
        let chain = vec![CertificateDer::from_pem_file(self.file("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        config.with_no_client_auth().with_single_cert(chain, key).unwrap()
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let ended = command.args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(ended.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A port at which a server is reached by TLS, and in no other way.
async fn encrypted(server: SocketAddr, authority: &Authority) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(authority.server_config()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, acceptor.clone(), server));
        }
    });
    port
}

async fn carry(client: TcpStream, acceptor: TlsAcceptor, server: SocketAddr) {
    // Who does not trust the certificate hangs up.
    let Ok(mut client) = acceptor.accept(client).await else { return };
    let mut server = TcpStream::connect(server).await.unwrap();
    // A client may leave whenever it wants to.
    let _left = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_server_is_read_by_tls_if_its_certificate_is_trusted() {
    let (own, other) = (Authority::new(), Authority::new());
    let access = Access::Password { user: "reader".to_owned(), password: "CANARY".to_owned() };
    // A member of a replica set would name its own address, at which there is no TLS.
    let script = Script::new().deployment(Deployment::Standalone).access(access);
    let server = start(script.documents(USERS, users(300)));
    let port = encrypted(server.address(), &own).await;
    let at = |host: &str, options: &str| {
        let uri = format!("mongodb://reader:CANARY@{host}:{port}/chat?authSource=admin&tls=true{options}");
        table(uri, "chat", LiveRequest::default())
    };

    let short = "&serverSelectionTimeoutMS=3000";
    // Signed by nobody that everybody knows, or by somebody else, or for another name.
    for (host, options) in [("localhost", String::new()), ("localhost", other.option()), ("127.0.0.1", own.option())] {
        let started = Instant::now();
        let (text, is_retried) = told(read(&at(host, &format!("{options}{short}"))).await);
        assert!(text.contains("cannot reach MongoDB") && text.contains("certificate"), "{host} {options}: {text}");
        assert!(is_retried && started.elapsed() < Duration::from_secs(20), "{host} {options}");
    }
    assert!(server.requests().is_empty(), "nothing is said to a server that is not trusted");

    assert_eq!(read(&at("localhost", &own.option())).await.unwrap().ids, expected(300));
    assert!(!server.requests_named("saslStart").is_empty());
}

#[tokio::test]
async fn an_address_that_the_name_service_does_not_know_is_given_up() {
    // Names below `invalid` are never there. Where no name service answers, that ends the search sooner.
    let uri = "mongodb+srv://reader:CANARY@no-such-name.invalid/chat".to_owned();
    let started = Instant::now();
    let table = patient_table(uri, "chat", LiveRequest::default(), Duration::from_secs(2));
    let (text, is_retried) = told(read(&table).await);
    assert!(text.contains("cannot reach MongoDB for looking MONGODB_URI up"), "{text}");
    // Six times the patience, and the pauses in between.
    assert!(is_retried && started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
