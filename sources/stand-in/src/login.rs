//! Who is at the other end of a connection: the server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677).
//!
//! A client checks the server's signature, so that a stand-in cannot merely nod: with credentials in its address the
//! driver connects to a server that knows the password, or not at all. Salt and nonce are constants. There is nothing
//! to protect here.

use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};
use sha2::{Digest, Sha256};

use crate::command::Command;
use crate::element::kind;
use crate::refusal::Refusal;
use crate::script::Access;

const SALT: &[u8] = b"a stand-in's own";
/// The fewest that drivers accept.
const ITERATIONS: u32 = 4096;
const NONCE: &str = "stand-in";
const BLOCK_BYTES: usize = 64;

type Hash = [u8; 32];

/// How far the login of a connection has come.
#[derive(Debug, Default)]
pub(crate) enum Login {
    #[default]
    Anonymous,
    /// The server has sent its challenge; these are the first two parts of what both sides sign.
    Challenged { signed: String, nonce: String },
    /// As this user, also when another password or another user is asked for since.
    LoggedIn(String),
}

impl Login {
    /// The user who is logged in.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::LoggedIn(user) => Some(user),
            _ => None,
        }
    }

    /// Carries out `saslStart` and `saslContinue`.
    pub(crate) fn proceed(&mut self, access: &Access, command: &Command<'_>) -> Result<Document, Refusal> {
        let before = std::mem::take(self);
        let Access::Password { user, password } = access else { return Err(failed()) };
        let payload = payload(command).ok_or_else(failed)?;
        match before {
            Self::Challenged { signed, nonce } if command.name == "saslContinue" => {
                let signature = finish(password, &signed, &nonce, payload)?;
                *self = Self::LoggedIn(user.clone());
                Ok(step(true, &signature))
            }
            _ if command.name == "saslStart" => {
                let (challenge, nonce, bare) = challenge(user, command, payload)?;
                *self = Self::Challenged { signed: format!("{bare},{challenge}"), nonce };
                Ok(step(false, &challenge))
            }
            _ => Err(failed()),
        }
    }
}

fn failed() -> Refusal {
    Refusal::new(18, "AuthenticationFailed", "Authentication failed.")
}

fn payload<'a>(command: &Command<'a>) -> Option<&'a str> {
    let payload = command.option("payload").filter(|payload| payload.kind == kind::BINARY)?;
    std::str::from_utf8(payload.bytes.get(5..)?).ok()
}

fn step(is_done: bool, payload: &str) -> Document {
    let payload = Binary { subtype: BinarySubtype::Generic, bytes: payload.into() };
    doc! { "conversationId": 1, "done": is_done, "payload": payload }
}

/// The answer to `n,,n=<user>,r=<nonce>`: the challenge, the nonce of both sides, and the message without its head.
fn challenge<'a>(user: &str, command: &Command<'_>, first: &'a str) -> Result<(String, String, &'a str), Refusal> {
    let mechanism = command.option("mechanism").and_then(|mechanism| mechanism.as_str());
    let bare = first.strip_prefix("n,,").filter(|_| mechanism == Some("SCRAM-SHA-256")).ok_or_else(failed)?;
    let (name, nonce) = bare.split_once(",r=").ok_or_else(failed)?;
    if name.strip_prefix("n=") != Some(user) {
        return Err(failed());
    }
    let nonce = format!("{nonce}{NONCE}");
    Ok((format!("r={nonce},s={},i={ITERATIONS}", base64(SALT)), nonce, bare))
}

/// Checks `c=biws,r=<nonce>,p=<proof>` and signs.
fn finish(password: &str, signed: &str, nonce: &str, last: &str) -> Result<String, Refusal> {
    let (unproven, proof) = last.split_once(",p=").ok_or_else(failed)?;
    let signed = format!("{signed},{unproven}");
    let salted = salt(password.as_bytes());
    let client_key = hmac(&salted, b"Client Key");
    let signature = hmac(&Sha256::digest(client_key), signed.as_bytes());
    let expected: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    if unproven != format!("c=biws,r={nonce}") || proof != base64(&expected) {
        return Err(failed());
    }
    Ok(format!("v={}", base64(&hmac(&hmac(&salted, b"Server Key"), signed.as_bytes()))))
}

/// PBKDF2 for one block.
fn salt(password: &[u8]) -> Hash {
    let mut link = hmac(password, &[SALT, &1_u32.to_be_bytes()].concat());
    let mut salted = link;
    for _ in 1..ITERATIONS {
        link = hmac(password, &link);
        salted.iter_mut().zip(link).for_each(|(salted, link)| *salted ^= link);
    }
    salted
}

fn hmac(key: &[u8], message: &[u8]) -> Hash {
    let mut block = [0; BLOCK_BYTES];
    match key.len() {
        0..=BLOCK_BYTES => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        let letter = |at: usize| LETTERS[(bits >> (18 - 6 * at) & 63) as usize] as char;
        [0, 1, 2, 3].map(|at| if at <= chunk.len() { letter(at) } else { '=' })
    };
    bytes.chunks(3).flat_map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_letters() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn messages_are_authenticated() {
        let start = |hash: Hash| u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        assert_eq!(start(hmac(b"Jefe", b"what do ya want for nothing?")), 0x5bdc_c146);
        let long_key = [0xaa; 131];
        assert_eq!(start(hmac(&long_key, b"Test Using Larger Than Block-Size Key - Hash Key First")), 0x60e4_3159);
    }
}
