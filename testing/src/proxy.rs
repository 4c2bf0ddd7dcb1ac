//! A proxy that answers some requests as a bad day would.
//!
//! It speaks as much HTTP/1.1 as S3 clients need: one request a connection, bodies of a known length. The header `Host`
//! is passed on as it is, since the client has signed it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::accept::Accepting;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query, percent-encoded.
    pub target: String,
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The server is not asked; this status and code are the answer.
    Answer(u16, &'static str),
    /// The body breaks off in the middle.
    Cut,
    /// What comes is no HTTP, a failure that no client repeats a request after.
    Garble,
    /// The connection is closed before the server is asked.
    Reset,
    /// The server does what is asked, but its answer is lost.
    LoseAnswer,
    /// The answer comes so much later.
    Delay(Duration),
}

type Rule = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

/// See the module. It ends when it is dropped.
pub struct FaultyProxy {
    shared: Arc<Shared>,
    accepting: Accepting,
}

struct Shared {
    upstream: String,
    rule: Mutex<Rule>,
    requests: Mutex<Vec<Request>>,
    faults: AtomicUsize,
}

impl FaultyProxy {
    /// Stands before `endpoint` (`http://host:port`). Requests for which the rule gives a fault go wrong.
    ///
    /// # Panics
    /// When there is no port to listen on.
    #[must_use]
    pub fn start(endpoint: &str, rule: impl FnMut(&Request) -> Option<Fault> + Send + 'static) -> Self {
        let upstream = endpoint.strip_prefix("http://").expect("a server without TLS").to_owned();
        let shared = Arc::new(Shared {
            upstream,
            rule: Mutex::new(Box::new(rule)),
            requests: Mutex::default(),
            faults: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        Self { shared, accepting: Accepting::start(move |client| serving.serve(client)) }
    }

    /// Its own address, in place of the server's.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.accepting.endpoint()
    }

    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.shared.faults.load(Ordering::SeqCst)
    }

    /// The requests since the last call.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    /// From now on another rule holds.
    pub fn set_rule(&self, rule: impl FnMut(&Request) -> Option<Fault> + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let Some((head, rest)) = read_head(&mut client)? else { return Ok(()) };
        let request = request_of(&head);
        let body = read_body(&mut client, &head, rest)?;
        self.requests.lock().unwrap().push(request.clone());
        let fault = (self.rule.lock().unwrap())(&request);
        if fault.is_some() {
            self.faults.fetch_add(1, Ordering::SeqCst);
        }
        match fault {
            Some(Fault::Answer(status, code)) => return answer(&mut client, status, code),
            Some(Fault::Garble) => return client.write_all(b"?\r\n\r\n"),
            Some(Fault::Reset) => return close(client),
            _ => {}
        }
        let mut server = TcpStream::connect(&self.upstream)?;
        server.write_all(closing(&head).as_bytes())?;
        server.write_all(&body)?;
        let Some((head, rest)) = read_head(&mut server)? else { return Ok(()) };
        match fault {
            Some(Fault::LoseAnswer) => close(client),
            Some(Fault::Cut) => {
                let mut body = rest;
                // An answer to HEAD has the length of a body, but none; and it has nothing that could be cut.
                if request.method != "HEAD" {
                    server.read_to_end(&mut body)?;
                }
                client.write_all(closing(&head).as_bytes())?;
                client.write_all(&body[..body.len() / 2])?;
                client.flush()?;
                close(client)
            }
            other => {
                if let Some(Fault::Delay(time)) = other {
                    std::thread::sleep(time);
                }
                client.write_all(closing(&head).as_bytes())?;
                client.write_all(&rest)?;
                std::io::copy(&mut server, &mut client)?;
                client.shutdown(Shutdown::Write)
            }
        }
    }
}

/// Closes a connection in the middle of things. What was written before may or may not arrive.
fn close(client: TcpStream) -> std::io::Result<()> {
    client.shutdown(Shutdown::Both)
}

fn answer(client: &mut TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the test's proxy</Message></Error>");
    let length = body.len();
    write!(client, "HTTP/1.1 {status} Fault\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    client.shutdown(Shutdown::Write)
}

pub(crate) fn request_of(head: &str) -> Request {
    let mut first = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    Request { method: method.to_owned(), target: target.to_owned() }
}

/// Reads up to the empty line; gives the head with it, and what came after.
pub(crate) fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

pub(crate) fn read_body(stream: &mut TcpStream, head: &str, mut body: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let length = header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if body.len() < length {
        let begun = body.len();
        body.resize(length, 0);
        stream.read_exact(&mut body[begun..])?;
    }
    Ok(body)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The head with the wish that the connection be closed afterwards.
fn closing(head: &str) -> String {
    let kept = head.trim_end().split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut text = kept.collect::<Vec<_>>().join("\r\n");
    text.push_str("\r\nConnection: close\r\n\r\n");
    text
}
