//! The address of the server, and what is wrong with one.
//!
//! The driver quotes what it does not understand, and of an address that is cut in the wrong place this may be a part of
//! the password. So of its words only the name of an option is passed on.

use mongodb::error::ErrorKind;
use mongodb::options::ClientOptions;

use super::fault::MongoError;
use super::server::{MongoSettings, without};
use crate::live::{ATTEMPTS, pause};

/// Options that an address may have, of which the driver says what they must be.
const OPTIONS: [&str; 36] = [
    "appName",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "compressors",
    "connectTimeoutMS",
    "directConnection",
    "heartbeatFrequencyMS",
    "journal",
    "loadBalanced",
    "localThresholdMS",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "maxStalenessSeconds",
    "minPoolSize",
    "readConcernLevel",
    "readPreference",
    "readPreferenceTags",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "socketTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsInsecure",
    "uuidRepresentation",
    "waitQueueTimeoutMS",
    "zlibCompressionLevel",
];

/// The settings that an address stands for. An address with `+srv` is asked of the name service, which may be unwell.
pub(super) async fn resolve(settings: &MongoSettings) -> Result<ClientOptions, MongoError> {
    let uri = settings.uri.expose();
    if uri.split_once('?').is_some_and(|(_, options)| options.contains('@')) {
        // The driver would take what comes before the first `?`, a part of the password perhaps, for the server.
        return Err(not_understood(None));
    }
    let unreachable = |why: String| MongoError::Unreachable { doing: "looking MONGODB_URI up".to_owned(), why };
    let mut attempt = 1;
    loop {
        let parsed = ClientOptions::parse(uri).into_future();
        let error = match tokio::time::timeout(settings.patience, parsed).await {
            Ok(Ok(options)) => return Ok(options),
            Ok(Err(error)) => error,
            Err(_) => {
                let why = format!("the name service has not answered for {} s", settings.patience.as_secs());
                return Err(unreachable(why));
            }
        };
        let why = without(std::slice::from_ref(&settings.uri), &error);
        match error.kind.as_ref() {
            ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) if attempt < ATTEMPTS => {
                tracing::warn!(attempt, why, "MONGODB_URI cannot be looked up; trying again");
                tokio::time::sleep(pause(attempt)).await;
                attempt += 1;
            }
            ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) => return Err(unreachable(why)),
            _ => return Err(not_understood(option_in(&why))),
        }
    }
}

fn not_understood(option: Option<&str>) -> MongoError {
    let why = match option {
        Some(option) => format!("its option {option} is wrong, or does not go with the others"),
        None => {
            "it is not understood; it begins with mongodb:// or mongodb+srv://, and characters such as : / ? @ and % \
                 in user, password and options are written as %3A %2F %3F %40 and %25"
                .to_owned()
        }
    };
    MongoError::Address { why }
}

/// The option that the driver's words are about.
fn option_in(words: &str) -> Option<&'static str> {
    let mut words = words.split(|character: char| !character.is_ascii_alphanumeric());
    words.find_map(|word| OPTIONS.into_iter().find(|option| option.eq_ignore_ascii_case(word)))
}
