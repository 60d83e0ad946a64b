//! A proxy before the server that knows where messages end: it loses replies, or keeps a transaction back.

#![allow(dead_code)]

use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

const STARTUP: [u8; 4] = 196_608_u32.to_be_bytes();
/// What the server says at the end of a transaction.
const IS_DONE: (u8, &[u8]) = (b'Z', b"I");

/// What becomes of the first request from now on that says a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The server gets it, and no reply comes any more; when the transaction is over the connection is cut.
    Mute,
    /// The client is cut off at the end of the transaction, which the server gets when it is told to.
    Late,
    /// The BEGIN before it is cancelled, and never gets to the server.
    Unbegun,
    /// The next COMMIT is cancelled, and its transaction left behind.
    Uncommitted,
}

type Armed = Arc<Mutex<Option<(&'static str, Fault)>>>;

/// A proxy on the loopback interface.
pub(crate) struct Proxy {
    /// The connection string for those behind it.
    pub(crate) url: String,
    armed: Armed,
    late: Receiver<Late>,
    is_away: Arc<AtomicBool>,
}

struct Late {
    server: TcpStream,
    kept: Vec<u8>,
    done: Receiver<()>,
}

impl Proxy {
    /// Before the server of this connection string.
    pub(crate) fn new(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("it is a URI");
        let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, server) = server.rsplit_once('@').unwrap_or(("", server));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let armed = Armed::default();
        let (send, late) = channel();
        let (server, at) = (server.to_owned(), armed.clone());
        let is_away = Arc::new(AtomicBool::new(false));
        let away = is_away.clone();
        spawn(move || {
            for client in listener.incoming().flatten() {
                if away.load(SeqCst) {
                    continue;
                }
                if let Ok(server) = TcpStream::connect(&server) {
                    let (at, late, away) = (at.clone(), send.clone(), away.clone());
                    spawn(move || pass(client, server, (at, away), late));
                }
            }
        });
        let url = format!("{scheme}://{user}@{here}/{database}");
        Proxy {
            url,
            armed,
            late,
            is_away,
        }
    }

    /// Do this at the first request from now on that says this text.
    pub(crate) fn arm(&self, text: &'static str, fault: Fault) {
        *self.armed.lock().unwrap() = Some((text, fault));
    }

    /// Whether it was done.
    pub(crate) fn has_fired(&self) -> bool {
        self.armed.lock().unwrap().is_none()
    }

    /// From now on the server is out of reach.
    pub(crate) fn cut_off(&self) {
        self.is_away.store(true, SeqCst);
    }

    /// Give the server what was kept back, and wait until it is done with it.
    pub(crate) fn deliver_late(&self) {
        let mut late = self.late.recv().unwrap();
        // It may have given up the transaction by now.
        let _ = late.server.write_all(&late.kept);
        let _ = late.done.recv();
    }
}

struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Message {
    fn read(from: &mut TcpStream) -> Result<Self> {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        let body = read_body(from)?;
        Ok(Message {
            kind: kind[0],
            body,
        })
    }

    fn raw(&self) -> Vec<u8> {
        [&[self.kind][..], &length(&self.body), &self.body].concat()
    }

    fn says(&self, text: &str) -> bool {
        let mut parts = self.body.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    }
}

/// What the server says of a statement that was cancelled, outside of a transaction.
fn cancelled() -> Vec<u8> {
    let body = b"SERROR\0VERROR\0C57014\0Mcanceling statement due to user request\0\0";
    [b"E", &length(body)[..], body, b"Z", &length(b"I"), b"I"].concat()
}

fn length(body: &[u8]) -> [u8; 4] {
    (body.len() as u32 + 4).to_be_bytes()
}

fn read_body(from: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// Pass on what both sides say, until one of them ends.
fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    (armed, is_away): (Armed, Arc<AtomicBool>),
    late: Sender<Late>,
) {
    let fault = Arc::new(Mutex::new(None));
    let (send, done) = channel();
    let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut to, mut from) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let is = fault.clone();
    spawn(move || {
        while let Ok(message) = Message::read(&mut from) {
            let is = *is.lock().unwrap();
            let is_done = (message.kind, &*message.body) == IS_DONE;
            if matches!(is, None | Some(Fault::Uncommitted)) {
                let _ = to.write_all(&message.raw());
            } else if is_done {
                let _ = send.send(());
                break;
            }
        }
        let _ = (
            ends.0.shutdown(Shutdown::Both),
            ends.1.shutdown(Shutdown::Both),
        );
    });
    let requests = || -> Result<bool> {
        loop {
            let body = read_body(&mut client)?;
            if body.starts_with(&STARTUP) {
                server.write_all(&[&length(&body)[..], &body].concat())?;
                break;
            }
            client.write_all(b"N")?; // no TLS here
        }
        let mut kept = Vec::new();
        // A BEGIN whose transaction may be the one that is to be done something to.
        let mut begin: Option<Message> = None;
        loop {
            let message = Message::read(&mut client)?;
            if is_away.load(SeqCst) {
                client.shutdown(Shutdown::Both)?;
                return Ok(false);
            }
            let mut at = armed.lock().unwrap();
            if matches!(*at, Some((_, Fault::Unbegun))) || begin.is_some() {
                let is_it = at.take_if(|(text, _)| message.says(text)).is_some();
                drop(at);
                match begin.take() {
                    Some(_) if is_it => client.write_all(&cancelled())?,
                    Some(of) if message.says("COMMIT\0") => server.write_all(&of.raw())?,
                    none_yet => begin = none_yet,
                }
                if message.says("BEGIN ") {
                    begin = Some(message);
                } else if begin.is_some() {
                    kept.extend(message.raw());
                } else {
                    server.write_all(&std::mem::take(&mut kept))?;
                    server.write_all(&message.raw())?;
                }
                continue;
            }
            if let Some((_, is)) = at.take_if(|(text, _)| message.says(text)) {
                *fault.lock().unwrap() = Some(is);
            }
            drop(at);
            let mut is = fault.lock().unwrap();
            if message.says("COMMIT\0") && is.take_if(|is| *is == Fault::Uncommitted).is_some() {
                let cancels = b"DO $$ BEGIN RAISE SQLSTATE '57014'; END $$\0";
                server.write_all(&[b"Q", &length(cancels)[..], cancels].concat())?;
                continue;
            }
            drop(is);
            if *fault.lock().unwrap() != Some(Fault::Late) {
                server.write_all(&message.raw())?;
                continue;
            }
            kept.extend(message.raw());
            if message.says("COMMIT\0") {
                client.shutdown(Shutdown::Both)?;
                let server = server.try_clone()?;
                let _ = late.send(Late { server, kept, done });
                return Ok(true);
            }
        }
    };
    if !matches!(requests(), Ok(true)) {
        let _ = server.shutdown(Shutdown::Both);
    }
}
