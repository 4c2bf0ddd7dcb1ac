//! A server that says what a test wants to hear.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use crate::Request;
use crate::accept::Accepting;
use crate::proxy::{read_body, read_head, request_of};

/// What it says to a request: status and body.
pub type Answer = (u16, String);

type Rule = Box<dyn FnMut(&Request) -> Option<Answer> + Send>;

/// Takes the place of a service, by HTTP/1.1, one request a connection. It ends when it is dropped.
pub struct StandIn {
    shared: Arc<Shared>,
    accepting: Accepting,
}

struct Shared {
    rule: Mutex<Rule>,
    requests: Mutex<Vec<Request>>,
}

impl StandIn {
    /// Answers by a rule. Whoever asks what the rule has no answer to waits until he gives up.
    ///
    /// # Panics
    /// When there is no port to listen on.
    #[must_use]
    pub fn start(rule: impl FnMut(&Request) -> Option<Answer> + Send + 'static) -> Self {
        let shared = Arc::new(Shared { rule: Mutex::new(Box::new(rule)), requests: Mutex::default() });
        let serving = Arc::clone(&shared);
        Self { shared, accepting: Accepting::start(move |client| serving.serve(client)) }
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.accepting.endpoint()
    }

    /// The requests since the last call.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let Some((head, rest)) = read_head(&mut client)? else { return Ok(()) };
        read_body(&mut client, &head, rest)?;
        let request = request_of(&head);
        self.requests.lock().unwrap().push(request.clone());
        let answer = (self.rule.lock().unwrap())(&request);
        let Some((status, body)) = answer else {
            // Until the other side hangs up.
            return client.read_to_end(&mut Vec::new()).map(|_| ());
        };
        let length = body.len();
        write!(client, "HTTP/1.1 {status} Answer\r\nContent-Length: {length}\r\nETag: \"e\"\r\n")?;
        write!(client, "Connection: close\r\n\r\n{body}")?;
        client.shutdown(std::net::Shutdown::Write)
    }
}
