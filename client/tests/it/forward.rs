//! Ways to servers that listen on 127.0.0.1 of this machine: one that lets everything through, one that also keeps what
//! has passed, one that fails after a while, and one for S3 that looks at what is asked for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Listens until it is dropped.
pub struct Forwarder {
    address: Ipv4Addr,
    pub port: u16,
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
}

impl Forwarder {
    /// Passes every connection on to `target`, a host and port.
    pub fn of_tcp(address: Ipv4Addr, target: &str) -> Self {
        let target = target.to_owned();
        Self::listen(address, 0, move |client| {
            let Ok(server) = TcpStream::connect(&target) else { return };
            std::thread::scope(|scope| {
                scope.spawn(|| pass(&client, &server));
                pass(&server, &client);
            });
        })
    }

    /// Passes every connection on to the same port of 127.0.0.1, and keeps what goes to and fro.
    pub fn recording(address: Ipv4Addr, port: u16) -> (Self, Recording) {
        let recording = Recording::default();
        let kept = recording.clone();
        let forwarder = Self::listen(address, port, move |client| {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
            std::thread::scope(|scope| {
                scope.spawn(|| kept.pass(&client, &server));
                kept.pass(&server, &client);
            });
        });
        (forwarder, recording)
    }

    /// Passes on what servers say up to this many bytes in all, and then fails for good.
    pub fn failing(target: &str, bytes: u64, failure: Failure) -> Self {
        Self::failing_when_spent(target, &Arc::new(AtomicU64::new(bytes)), failure)
    }

    /// The same with a count of the bytes that may still pass, which is 0 from the failure on.
    pub fn failing_when_spent(target: &str, left: &Arc<AtomicU64>, failure: Failure) -> Self {
        let (target, left) = (target.to_owned(), Arc::clone(left));
        Self::listen(Ipv4Addr::LOCALHOST, 0, move |client| {
            let Ok(server) = TcpStream::connect(&target) else { return };
            std::thread::scope(|scope| {
                scope.spawn(|| pass(&client, &server));
                pass_up_to(&left, &server, &client, failure);
            });
        })
    }

    /// Passes those requests on to the S3 server at `target` that `allows` lets through, and refuses the others.
    pub fn of_s3(address: Ipv4Addr, target: &str, allows: fn(&Asked) -> bool) -> (Self, Requests) {
        let requests = Requests::default();
        let (target, seen) = (target.to_owned(), requests.clone());
        let forwarder = Self::listen(address, 0, move |client| {
            // A client that hangs up in the middle is none of the test's business.
            let _hung_up = answer(&client, &target, allows, &seen);
            let _gone = client.shutdown(Shutdown::Both);
        });
        (forwarder, requests)
    }

    fn listen(address: Ipv4Addr, port: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address, port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted, serve) = (Arc::clone(&stop), Arc::clone(&taken), Arc::new(serve));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(client));
            }
        });
        Self { address, port, stop, taken }
    }

    /// How many connections it has taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// What a client is told.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.address, self.port)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        let _gone = TcpStream::connect((self.address, self.port));
    }
}

/// Copies to the end, and says so to the other side.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _lost = std::io::copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Write);
}

/// How a way fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Connections are cut.
    Cut,
    /// Nothing comes any more, and nobody says so.
    Hang,
}

/// Copies until nothing may pass any more, and cuts the connection or waits for the other side to do that.
fn pass_up_to(left: &AtomicU64, mut from: &TcpStream, mut to: &TcpStream, failure: Failure) {
    let mut buffer = vec![0; 4 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // The first piece that is too much is the end, also for smaller ones and other connections.
        let less = |left: u64| Some(left.saturating_sub(length as u64));
        let passes =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok_and(|left| left >= length as u64);
        if !passes && failure == Failure::Hang {
            // What the server says is read and goes nowhere.
            continue;
        }
        if !passes || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    for side in [from, to] {
        let _gone = side.shutdown(Shutdown::Both);
    }
}

/// What has passed, by connection and direction.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    streams: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recording {
    /// Everything so far.
    pub fn streams(&self) -> Vec<Vec<u8>> {
        self.streams.lock().unwrap().clone()
    }

    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let number = {
            let mut streams = self.streams.lock().unwrap();
            streams.push(Vec::new());
            streams.len() - 1
        };
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length) = from.read(&mut buffer) {
            self.streams.lock().unwrap()[number].extend_from_slice(&buffer[..length]);
            if length == 0 || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _gone = to.shutdown(Shutdown::Write);
    }
}

/// What a request wants to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Its content, size or time.
    Read,
    Write,
    Delete,
    /// The names that begin alike.
    List,
}

/// One object, or beginning of names, that a request is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub verb: Verb,
    /// Without the bucket.
    pub key: String,
}

/// What was asked for so far.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    /// Each with whether it was allowed.
    seen: Arc<Mutex<Vec<(Asked, bool)>>>,
}

impl Requests {
    pub fn allowed(&self) -> Vec<Asked> {
        self.with(true)
    }

    pub fn refused(&self) -> Vec<Asked> {
        self.with(false)
    }

    fn with(&self, wanted: bool) -> Vec<Asked> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(_, allowed)| *allowed == wanted).map(|(asked, _)| asked.clone()).collect()
    }
}

/// Answers one request and ends the connection: the next one is looked at too.
fn answer(client: &TcpStream, target: &str, allows: fn(&Asked) -> bool, requests: &Requests) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut body = vec![0; content_length(&head)];
    reader.read_exact(&mut body)?;
    let asked = asked(&head, &body);
    let allowed = !asked.is_empty() && asked.iter().all(allows);
    requests.seen.lock().unwrap().extend(asked.into_iter().map(|asked| (asked, allowed)));
    let mut client = client;
    if !allowed {
        let text = "<Error><Code>AccessDenied</Code><Message>not by this way</Message></Error>";
        let head = format!("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
        return client.write_all(format!("{head}{text}").as_bytes());
    }
    let mut server = TcpStream::connect(target)?;
    // The signature covers the headers that it names, and this is none of them.
    let (first, rest) = head.split_once("\r\n").unwrap();
    server.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut client)?;
    Ok(())
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().map_or(0, |(_, value)| value.trim().parse().unwrap())
}

/// The objects that a request is about; none if it is no request to a bucket.
fn asked(head: &str, body: &[u8]) -> Vec<Asked> {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let parameter = |name: &str| query.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    match method {
        "GET" if parameter("list-type").is_some() => {
            vec![Asked { verb: Verb::List, key: parameter("prefix").unwrap_or_default() }]
        }
        "GET" | "HEAD" => vec![Asked { verb: Verb::Read, key }],
        "POST" if parameter("delete").is_some() => {
            let body = String::from_utf8_lossy(body);
            let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            keys.map(|key| Asked { verb: Verb::Delete, key: key.to_owned() }).collect()
        }
        "PUT" | "POST" => vec![Asked { verb: Verb::Write, key }],
        "DELETE" => vec![Asked { verb: Verb::Delete, key }],
        _ => Vec::new(),
    }
}
