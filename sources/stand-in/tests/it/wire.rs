//! Forms of the wire protocol that the official driver does not use, by hand.

use std::io::{Read, Write};
use std::net::TcpStream;

use bson::{Document, doc};
use quickchat_mongodb_stand_in::{Fault, Script, StandIn, When};

use crate::PATIENCE;

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;
const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 2;

fn connect(stand_in: &StandIn) -> TcpStream {
    let stream = TcpStream::connect(stand_in.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, id: i32, operation: i32, content: &[u8]) {
    let mut message = Vec::new();
    for number in [16 + content.len() as i32, id, 0, operation] {
        message.extend(number.to_le_bytes());
    }
    message.extend(content);
    stream.write_all(&message).unwrap();
}

/// An OP_MSG of one document; `more` is what follows it.
fn message(flags: u32, command: &Document, more: &[u8]) -> Vec<u8> {
    [&flags.to_le_bytes()[..], &[0], &command.to_vec().unwrap(), more].concat()
}

/// The operation, the request that is answered, and the document that stands so many bytes after the header.
fn receive(stream: &mut TcpStream, before_document: usize) -> (i32, i32, Document) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    let number = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let mut content = vec![0; number(0) as usize - 16];
    stream.read_exact(&mut content).unwrap();
    (number(12), number(8), Document::from_reader(&content[before_document..]).unwrap())
}

#[test]
fn an_old_client_is_greeted() {
    let stand_in = StandIn::start(Script::new()).unwrap();
    let mut stream = connect(&stand_in);
    let query = |command: Document| {
        let command = command.to_vec().unwrap();
        [&[0; 4][..], b"admin.$cmd\0", &[0; 4], &(-1_i32).to_le_bytes(), &command].concat()
    };
    send(&mut stream, 7, OP_QUERY, &query(doc! { "isMaster": 1, "helloOk": true }));
    let (operation, answered, hello) = receive(&mut stream, 20);
    assert_eq!((operation, answered), (OP_REPLY, 7));
    assert_eq!((hello.get_str("setName").unwrap(), hello.get_bool("helloOk").unwrap()), ("rs0", true));

    send(&mut stream, 8, OP_QUERY, &query(doc! { "find": "people" }));
    let (_, _, refused) = receive(&mut stream, 20);
    assert_eq!(refused.get_i32("code").unwrap(), 352);
}

#[test]
fn checksums_and_sequences_are_read() {
    let stand_in = StandIn::start(Script::new()).unwrap();
    let mut stream = connect(&stand_in);
    let documents = [doc! { "_id": 1 }, doc! { "_id": 2 }].map(|document| document.to_vec().unwrap()).concat();
    let content = [b"documents\0".as_slice(), &documents].concat();
    let sequence = [&[1], (content.len() as i32 + 4).to_le_bytes().as_slice(), &content, &[9; 4]].concat();
    let command = doc! { "insert": "people", "$db": "chat" };
    send(&mut stream, 3, OP_MSG, &message(CHECKSUM_PRESENT, &command, &sequence));
    let (operation, answered, refused) = receive(&mut stream, 5);
    assert_eq!((operation, answered, refused.get_i32("code").unwrap()), (OP_MSG, 3, 59));
    let [request] = stand_in.requests_named("insert").try_into().unwrap();
    assert_eq!(request.namespace, "chat.people");
    assert_eq!(request.body.get_array("documents").unwrap().len(), 2);
}

#[test]
fn who_wants_no_reply_gets_none() {
    let stand_in = StandIn::start(Script::new()).unwrap();
    let mut stream = connect(&stand_in);
    let ping = doc! { "ping": 1, "$db": "admin" };
    send(&mut stream, 1, OP_MSG, &message(MORE_TO_COME, &ping, &[]));
    send(&mut stream, 2, OP_MSG, &message(0, &ping, &[]));
    assert_eq!(receive(&mut stream, 5).1, 2);
    assert_eq!(stand_in.requests_named("ping").len(), 2);
}

#[test]
fn nonsense_ends_the_connection() {
    let stand_in = StandIn::start(Script::new()).unwrap();
    let unknown_flag = message(1 << 5, &doc! { "ping": 1 }, &[]);
    let lying_document = [[0; 5].as_slice(), &[200, 0, 0, 0, 0]].concat();
    for (operation, content) in
        [(2001, vec![0; 8]), (OP_MSG, vec![0; 2]), (OP_MSG, unknown_flag), (OP_MSG, lying_document)]
    {
        let mut stream = connect(&stand_in);
        send(&mut stream, 1, operation, &content);
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    assert!(stand_in.requests().is_empty());
}

#[test]
fn a_cut_reply_ends_in_its_middle() {
    let stand_in = StandIn::start(Script::new().fault(Fault::CutMidReply, When::command("ping"))).unwrap();
    let mut stream = connect(&stand_in);
    send(&mut stream, 1, OP_MSG, &message(0, &doc! { "ping": 1, "$db": "admin" }, &[]));
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    let announced = i32::from_le_bytes(received[..4].try_into().unwrap()) as usize;
    assert_eq!(received.len(), announced / 2);
}
