//! How connections are encrypted, and how the server shows who it is.

use mysql_async::{Error, IoError, SslOpts};
use rustls::CertificateError;

use super::address::TlsMode;
use super::fault::MySqlError;

/// What is settled about encryption before a server is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    /// None: no encryption.
    pub(super) opts: Option<SslOpts>,
    /// Whether a connection without will do, for a server that has none.
    pub(super) may_be_plain: bool,
    /// Whether any name will do that a known authority signed.
    pub(super) any_name: bool,
}

impl Tls {
    /// What an address says, and the authorities of `MYSQL_CA`, which make encryption a must.
    pub(super) fn new(mode: Option<TlsMode>, authority: Option<Vec<u8>>) -> Result<Self, MySqlError> {
        let mode = match (mode, &authority) {
            (Some(TlsMode::Disabled), Some(_)) => {
                let why = "it turns TLS off, though MYSQL_CA names an authority; take one of them away".to_owned();
                return Err(MySqlError::Address { why });
            }
            (Some(mode), Some(_)) => mode.max(TlsMode::VerifyCa),
            (None, Some(_)) => TlsMode::VerifyIdentity,
            (mode, None) => mode.unwrap_or(TlsMode::Preferred),
        };
        let has_authority = authority.is_some();
        let opts = (mode != TlsMode::Disabled).then(|| {
            SslOpts::default()
                .with_root_certs(authority.into_iter().map(Into::into).collect())
                .with_disable_built_in_roots(has_authority)
                .with_danger_accept_invalid_certs(mode < TlsMode::VerifyCa)
        });
        Ok(Self { opts, may_be_plain: mode == TlsMode::Preferred, any_name: mode == TlsMode::VerifyCa })
    }

    /// Options that ask for the name that the server's certificate has, after a connection failed only because it has
    /// not the one of the address, if any name will do.
    ///
    /// The driver has an option for this, which its version 0.37.1 does not heed. The certificate was found to be of a
    /// known authority before names were compared, and is verified again.
    pub(super) fn renamed(&self, error: &Error) -> Option<SslOpts> {
        let name = self.any_name.then(|| certified_name(error)).flatten()?;
        Some(self.opts.clone()?.with_danger_tls_hostname_override(Some(name)))
    }
}

/// A name of the server's certificate, if the connection failed for the sake of its names.
fn certified_name(error: &Error) -> Option<String> {
    let Error::Io(IoError::Io(error)) = error else { return None };
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = error else {
        return None;
    };
    // As `DnsName("*.example.org")` or `IpAddress(127.0.0.1)`.
    let names = presented.iter().filter_map(|name| Some(name.split_once('(')?.1.trim_matches(['"', ')'])));
    names.map(|name| name.replacen('*', "any", 1)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_makes_encryption_a_must() {
        let of = |mode, authority: bool| Tls::new(mode, authority.then(|| b"pem".to_vec())).unwrap();
        let accepts_any = |tls: &Tls| tls.opts.as_ref().unwrap().accept_invalid_certs();
        let usual = of(None, false);
        assert!(accepts_any(&usual) && usual.may_be_plain && !usual.any_name);
        let required = of(Some(TlsMode::Required), false);
        assert!(accepts_any(&required) && !required.may_be_plain);
        let known = of(None, true);
        assert!(!accepts_any(&known) && !known.may_be_plain && !known.any_name);
        let known = of(Some(TlsMode::Preferred), true);
        assert!(!accepts_any(&known) && !known.may_be_plain && known.any_name);
        assert_eq!(of(Some(TlsMode::Disabled), false).opts, None);
        assert!(Tls::new(Some(TlsMode::Disabled), Some(Vec::new())).is_err());
    }

    #[test]
    fn names_of_certificates() {
        let named = |presented: &[&str]| {
            let error = CertificateError::NotValidForNameContext {
                expected: rustls::pki_types::ServerName::try_from("db").unwrap(),
                presented: presented.iter().map(|name| (*name).to_owned()).collect(),
            };
            certified_name(&std::io::Error::other(rustls::Error::InvalidCertificate(error)).into())
        };
        assert_eq!(named(&["DnsName(\"*.example.org\")", "DnsName(\"x\")"]).unwrap(), "any.example.org");
        assert_eq!(named(&["IpAddress(127.0.0.1)"]).unwrap(), "127.0.0.1");
        assert_eq!(named(&[]), None);
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(certified_name(&std::io::Error::other(unknown).into()), None);
    }
}
