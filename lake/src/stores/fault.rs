//! What an object store's answers mean: who has to do what, and whether a later attempt may succeed.
//!
//! The store's client tells a failure as a page of XML behind a request line, and what happens to it afterwards depends
//! on where it happens: Parquet readers keep only its text, Ballista only the debug form of that. So what must be known
//! later stands in the words themselves. A fault that may pass begins with [`PASSING`], whatever else is a refusal and
//! begins with [`REFUSED`]; by these words executors know what to try again, and clients whose fault it was.

use std::error::Error as _;
use std::fmt;

use object_store::Error;

/// Begins a fault that a later attempt may not meet: the store, or what is between, did not answer as it should.
pub const PASSING: &str = "the object store failed for now";

/// Begins an answer that stays the same until somebody changes something.
pub const REFUSED: &str = "the object store refused";

/// What the store's client says of a redirect that it cannot follow, which is one to another region. A text holds the
/// request's path as well, so less than its whole words would be found in names of objects.
const REDIRECTS: [&str; 2] = ["Received redirect without LOCATION", "error following redirect"];

/// What it says of a request that it cannot make.
const UNSENDABLE: &str = "builder error";

/// The store's word for a request that it cannot do, whoever asks.
const NOT_IMPLEMENTED: &str = "NotImplemented";

/// An explained failure of a store.
#[derive(Debug)]
struct Fault {
    kind: Kind,
    words: String,
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Trying again later.
    Passing,
    /// Nothing before somebody changes something.
    Refused,
    /// Nothing with this store: it does not know such a request.
    Unknown,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.kind == Kind::Passing { PASSING } else { REFUSED }, self.words)
    }
}

impl std::error::Error for Fault {}

/// Whether a failure may pass, as far as the store's client tells.
pub(crate) fn passes(error: &Error) -> bool {
    let Error::Generic { source, .. } = error else { return false };
    source.downcast_ref::<Fault>().is_some_and(|fault| fault.kind == Kind::Passing)
}

/// Whether a store said that it does not know such a request.
pub(super) fn is_unknown(error: &Error) -> bool {
    let Error::PermissionDenied { source, .. } = error else { return false };
    source.downcast_ref::<Fault>().is_some_and(|fault| fault.kind == Kind::Unknown)
}

/// Whether an error says, anywhere in its words or those of its causes, that a store failed for now.
pub fn tells_of_passing_fault(error: &(dyn std::error::Error + 'static)) -> bool {
    says(error, PASSING)
}

/// Whether an error says, anywhere in its words or those of its causes, that a store refused something.
pub(crate) fn tells_of_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    says(error, REFUSED)
}

fn says(error: &(dyn std::error::Error + 'static), words: &str) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains(words) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The same failure in words for people. Answers that are part of the protocol (not found, already there) stay as they
/// are.
pub(super) fn explain(bucket: &str, error: Error) -> Error {
    match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => return error,
        Error::Generic { ref source, .. } if source.is::<Fault>() => return error,
        _ => {}
    }
    let text = chain(&error);
    let code = code(&text);
    match error {
        Error::NotFound { .. } if code != "NoSuchBucket" => error,
        Error::Generic { store, .. } if may_pass(&text, code) => {
            Error::Generic { store, source: Box::new(Fault { kind: Kind::Passing, words: readable(&text) }) }
        }
        Error::PermissionDenied { path, .. } => refused(path, bucket, &text, code),
        // Whoever looks for credentials has said already what to do.
        Error::Unauthenticated { path, source } => match text.contains(REFUSED) {
            true => Error::Unauthenticated { path, source },
            false => refused(path, bucket, &text, code),
        },
        Error::Generic { .. } | Error::NotFound { .. } => refused(bucket.to_owned(), bucket, &text, code),
        other => other,
    }
}

/// A refusal before any request: there are no credentials.
pub(super) fn no_credentials(bucket: &str, words: String) -> Error {
    Error::Unauthenticated { path: bucket.to_owned(), source: Box::new(Fault { kind: Kind::Refused, words }) }
}

/// A failure of what gives credentials, which may give some later.
pub(super) fn no_credentials_now(words: String) -> Error {
    Error::Generic { store: "S3", source: Box::new(Fault { kind: Kind::Passing, words }) }
}

/// The words of a failure that is not explained yet, and whether it may pass.
pub(super) fn heard(error: &Error) -> (String, bool) {
    let text = chain(error);
    let passes = may_pass(&text, code(&text));
    (readable(&text), passes)
}

fn refused(path: String, bucket: &str, text: &str, code: &str) -> Error {
    let words = match advice(bucket, text, code) {
        Some(advice) => format!("{advice} ({})", readable(text)),
        None => readable(text),
    };
    let unknown = code == NOT_IMPLEMENTED || status(text) == Some(501);
    let kind = if unknown { Kind::Unknown } else { Kind::Refused };
    Error::PermissionDenied { path, source: Box::new(Fault { kind, words }) }
}

/// What to do about a refusal.
fn advice(bucket: &str, text: &str, code: &str) -> Option<String> {
    let advice = match code {
        "NoSuchBucket" => format!("there is no bucket {bucket}; make it, or correct the address"),
        "InvalidAccessKeyId" => "it does not know the access key; correct AWS_ACCESS_KEY_ID".to_owned(),
        "SignatureDoesNotMatch" => {
            "the secret key is not that of the access key; correct AWS_SECRET_ACCESS_KEY".to_owned()
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            "the credentials have expired; get new ones and run again, what is committed stays".to_owned()
        }
        "InvalidToken" | "InvalidTokenId" | "InvalidClientTokenId" => {
            "the session token is not valid; correct AWS_SESSION_TOKEN, or unset it for keys that need none".to_owned()
        }
        "RequestTimeTooSkewed" => "the clock of this machine is wrong; set it".to_owned(),
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
            format!("bucket {bucket} is in another region; name that in AWS_REGION")
        }
        "AccessDenied" => format!(
            "the credentials in use may not do this in bucket {bucket}; allow them s3:ListBucket, and s3:GetObject, \
             s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects, or use others"
        ),
        _ if is_redirect(text) => format!("bucket {bucket} is in another region; name that in AWS_REGION"),
        _ if text.contains("status code: 403") => {
            format!("the credentials in use are not known there, or may not do this in bucket {bucket}")
        }
        _ => return None,
    };
    Some(advice)
}

/// Whether a failure without a class of its own is one of the moment.
fn may_pass(text: &str, code: &str) -> bool {
    // The last is the token service's, when it cannot ask who vouches for a process.
    const SERVERS_TROUBLE: [&str; 6] =
        ["RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "Throttling", "IDPCommunicationError"];
    if SERVERS_TROUBLE.iter().any(|known| code.starts_with(known)) {
        return true;
    }
    if code == NOT_IMPLEMENTED {
        return false;
    }
    match status(text) {
        Some(501) => false,
        Some(status) => status >= 500 || status == 429 || status == 408,
        // No answer at all, or a part of one. What cannot even be sent will not pass.
        None => code.is_empty() && !text.contains(UNSENDABLE) && !is_redirect(text),
    }
}

/// The status of the answer that a failure is about.
fn status(text: &str) -> Option<u16> {
    between(text, "status code: ", " ")?.get(..3)?.parse().ok()
}

/// The store's own word for what is wrong, empty if it has none. One answer tells of all objects that were to be
/// deleted; of that the client leaves no XML.
fn code(text: &str) -> &str {
    let of_one_object = || {
        let (_, told) = text.split_once("DeleteObjects request failed for key ")?;
        let (_, code) = told.rsplit_once("(code: ")?;
        code.split_once(')').map(|(code, _)| code)
    };
    between(text, "<Code>", "</Code>").or_else(of_one_object).unwrap_or_default()
}

fn is_redirect(text: &str) -> bool {
    REDIRECTS.iter().any(|words| text.contains(words))
}

/// The messages of an error and its causes, each once.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// A text in which the store's XML is replaced by the two things in it that say something.
fn readable(text: &str) -> String {
    let Some(start) = ["<?xml", "<ErrorResponse", "<Error>"].iter().filter_map(|tag| text.find(tag)).min() else {
        return text.to_owned();
    };
    let end = text.rfind('>').map_or(text.len(), |last| last + 1).max(start);
    let parts: Vec<&str> =
        ["Code", "Message"].iter().filter_map(|tag| between(text, &format!("<{tag}>"), &format!("</{tag}>"))).collect();
    format!("{}{}{}", &text[..start], parts.join(": "), &text[end..])
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(inner, _)| inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(words: &str) -> Error {
        Error::Generic { store: "S3", source: words.to_owned().into() }
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        for passing in [
            "Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown</Code></Error>",
            "Server returned non-2xx status code: 500 Internal Server Error: ",
            "Server returned error response: <Error><Code>InternalError</Code></Error>",
            "HTTP error: error sending request",
            "Error performing GET http://s3/b/redirects/of/users.parquet: HTTP error: error sending request",
            "HTTP error: request or response body error: connection reset",
            "DeleteObjects request failed for key a (code: AccessDenied)/b: Reduce your rate. (code: SlowDown)",
        ] {
            let explained = explain("b", generic(passing));
            assert!(passes(&explained) && tells_of_passing_fault(&explained), "{passing}");
        }
        for staying in [
            "Server returned non-2xx status code: 400 Bad Request: <Error><Code>ExpiredToken</Code></Error>",
            "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
            "Received redirect without LOCATION",
            "builder error: URL scheme is not allowed",
            "Server returned non-2xx status code: 501 Not Implemented: ",
            "DeleteObjects request failed for key a/b: Access Denied (code: AccessDenied)",
        ] {
            let explained = explain("b", generic(staying));
            assert!(!passes(&explained) && tells_of_refusal(&explained), "{staying}");
        }
    }

    #[test]
    fn what_a_store_does_not_know_is_told_from_what_it_does_not_allow() {
        for (words, unknown) in [
            ("status code: 501 Not Implemented: <Error><Code>NotImplemented</Code></Error>", true),
            ("status code: 501 Not Implemented: no XML", true),
            ("status code: 400 Bad Request: <Error><Code>NotImplemented</Code></Error>", true),
            ("status code: 403 Forbidden: <Error><Code>AccessDenied</Code></Error>", false),
        ] {
            let explained = explain("b", generic(words));
            assert!(tells_of_refusal(&explained), "{words}");
            assert_eq!(is_unknown(&explained), unknown, "{words}");
        }
    }

    #[test]
    fn a_refusal_to_delete_one_object_of_many_says_what_to_do() {
        let refused = generic("DeleteObjects request failed for key a/b: Access Denied (code: AccessDenied)");
        let text = explain("bucket", refused).to_string();
        assert!(text.contains("s3:DeleteObject") && text.contains("bucket"), "{text}");
    }

    #[test]
    fn a_refusal_says_what_to_do_and_no_xml() {
        let xml = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch\
                   </Code><Message>No match.</Message><StringToSign>AWS4 secret things</StringToSign></Error>";
        let text = explain("b", Error::PermissionDenied { path: "a/b".into(), source: xml.into() }).to_string();
        assert!(text.contains("correct AWS_SECRET_ACCESS_KEY"), "{text}");
        assert!(text.contains("403 Forbidden: SignatureDoesNotMatch: No match."), "{text}");
        assert!(!text.contains('<') && !text.contains("secret things"), "{text}");
    }

    #[test]
    fn answers_of_the_protocol_stay_what_they_are() {
        let missing = Error::NotFound { path: "a".into(), source: "<Code>NoSuchKey</Code>".into() };
        assert!(matches!(explain("b", missing), Error::NotFound { .. }));
        let there = Error::AlreadyExists { path: "a".into(), source: "x".into() };
        assert!(matches!(explain("b", there), Error::AlreadyExists { .. }));
        let no_bucket = Error::NotFound { path: "a".into(), source: "<Code>NoSuchBucket</Code>".into() };
        assert!(explain("b", no_bucket).to_string().contains("there is no bucket b"));
    }
}
