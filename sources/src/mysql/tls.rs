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

    /// Options that let any name pass, after a connection failed only for the sake of names, if any will do.
    ///
    /// The driver has an option for this, but its version 0.37.1 knows an error about names only by a word that the
    /// error no longer holds, unless it is the name that was looked for. So that is the name to look for, which is
    /// told to the server too, and to no one else. Before names are compared, the certificate was found to be of a known
    /// authority. It may have no name that counts at all, as those that MySQL makes for itself.
    pub(super) fn renamed(&self, error: &Error) -> Option<SslOpts> {
        if !self.any_name || !is_about_names(error) {
            return None;
        }
        let opts = self.opts.clone()?.with_danger_skip_domain_validation(true);
        Some(opts.with_danger_tls_hostname_override(Some(WORD)))
    }
}

/// By what the driver knows an error about names.
const WORD: &str = "NotValidForName";

/// Whether the connection failed for the sake of the names of the server's certificate.
fn is_about_names(error: &Error) -> bool {
    let Error::Io(IoError::Io(error)) = error else { return false };
    matches!(
        error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ))
    )
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
    fn names_that_do_not_matter() {
        let known = |mode| Tls::new(Some(mode), Some(b"pem".to_vec())).unwrap();
        let failed = |error| Error::from(std::io::Error::other(rustls::Error::InvalidCertificate(error)));
        let named = |expected: &'static str, presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from(expected).unwrap(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        for presented in [["DnsName(\"*.example.org\")"].as_slice(), &[]] {
            let error = failed(named("db", presented));
            assert_eq!(known(TlsMode::VerifyIdentity).renamed(&error), None);
            let opts = known(TlsMode::VerifyCa).renamed(&error).unwrap();
            assert!(opts.skip_domain_validation() && !opts.accept_invalid_certs());
            // What the driver looks for in the second error.
            let word = opts.tls_hostname_override().unwrap().to_owned();
            let second = rustls::Error::InvalidCertificate(named(WORD, presented)).to_string();
            assert!(word == WORD && second.contains("NotValidForName"), "{second}");
        }
        assert_eq!(known(TlsMode::VerifyCa).renamed(&failed(CertificateError::UnknownIssuer)), None);
    }
}
