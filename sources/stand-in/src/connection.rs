//! One connection: reads a request, lets the planned faults strike, answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::answer::{Answer, encode};
use crate::command::Command;
use crate::fault::Fault;
use crate::login::Login;
use crate::refusal::Refusal;
use crate::server::Server;
use crate::wire::{Frame, Message};
use crate::{commands, hello};

/// Takes connections for as long as the server lives.
pub(crate) async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _detached = tokio::spawn(serve(stream, Arc::clone(&server), connections));
                connections += 1;
            }
            // A client that gave up, or too many open files: neither ends the server.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What the server remembers of a connection.
struct Peer {
    id: u64,
    login: Login,
}

/// What becomes of a connection after a request.
enum Next {
    Continue,
    Close,
}

async fn serve(mut stream: TcpStream, server: Arc<Server>, id: u64) {
    let mut peer = Peer { id, login: Login::default() };
    // Only a delay would follow from a failure.
    let _ignored = stream.set_nodelay(true);
    while let Ok(Some(message)) = Message::read(&mut stream).await {
        match answer(&mut stream, &server, &mut peer, &message).await {
            Ok(Next::Continue) => {}
            Ok(Next::Close) | Err(_) => return,
        }
    }
}

async fn answer(stream: &mut TcpStream, server: &Server, peer: &mut Peer, message: &Message) -> std::io::Result<Next> {
    let Some(command) = Command::read(&message.body) else { return Ok(Next::Close) };
    let namespace = command.namespace();
    server.record(peer.id, command.name, &namespace, || message.document());
    let (mut refusal, mut is_cut) = (None, false);
    let faults = server.faults.lock().strike(command.name, &namespace);
    for fault in faults {
        match &fault {
            Fault::Delay(delay) => tokio::time::sleep(*delay).await,
            Fault::Hold => server.hold().await,
            Fault::Hang => std::future::pending().await,
            Fault::CutBeforeReply => return Ok(Next::Close),
            Fault::CutMidReply => is_cut = true,
            _ => refusal = refuse(server, &command, &fault),
        }
    }
    let answer = match refusal {
        Some(refusal) => Err(refusal),
        None => carry_out(server, &command, &namespace, peer, message.is_legacy()).await,
    };
    let frame = message.frame(encode(server, answer));
    if message.wants_no_reply {
        return Ok(Next::Continue);
    }
    if is_cut { cut(stream, frame).await } else { send(stream, frame).await }
}

fn refuse(server: &Server, command: &Command<'_>, fault: &Fault) -> Option<Refusal> {
    if fault.loses_cursor() {
        server.cursors.lock().kill(command.number());
    }
    fault.refusal(command.name, command.number())
}

async fn carry_out(
    server: &Server,
    command: &Command<'_>,
    namespace: &str,
    peer: &mut Peer,
    is_legacy: bool,
) -> Result<Answer, Refusal> {
    if command.name == "hello" {
        return Ok(Answer::Document(hello::hello(server, command, peer.id).await));
    }
    if is_legacy {
        let message = format!("Unsupported OP_QUERY command: {}", command.name);
        return Err(Refusal::new(352, "UnsupportedOpQueryCommand", message));
    }
    match command.name {
        "saslStart" | "saslContinue" => peer.login.proceed(&server.access.lock(), command).map(Answer::Document),
        _ => commands::carry_out(server, command, namespace, peer.login.user()),
    }
}

async fn send(stream: &mut TcpStream, frame: Frame) -> std::io::Result<Next> {
    stream.write_all_buf(&mut frame.into_buf()).await?;
    Ok(Next::Continue)
}

/// Sends the first half and closes. The client reads that half before it learns of the end.
async fn cut(stream: &mut TcpStream, frame: Frame) -> std::io::Result<Next> {
    let frame = frame.into_buf();
    let half = frame.remaining() / 2;
    stream.write_all_buf(&mut frame.take(half)).await?;
    stream.shutdown().await?;
    Ok(Next::Close)
}
