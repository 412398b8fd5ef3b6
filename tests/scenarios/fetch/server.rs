//! A service on this machine that answers by a script: whole, slowly, or cut off.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) manner: Manner,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Whole,
    /// The second half comes so much later.
    Slow(Duration),
    /// The second half does not come.
    Cut,
}

impl Reply {
    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: vec![], body: body.into(), manner: Manner::Whole }
    }

    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::ok("<html>no</html>") }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn in_manner(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }
}

/// Answers by path and query; the last one of each stays.
type Script = BTreeMap<String, Vec<Reply>>;

/// The service, until the test ends.
pub(super) struct Server {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(script: impl IntoIterator<Item = (String, Vec<Reply>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<Script>()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                // A client that hangs up is part of some tests.
                thread::spawn(move || drop(serve(stream, &log, &script)));
            }
        });
        Self { url, asked }
    }

    /// Everything that was asked: method, path and body in hex.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a log").clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, script: &Mutex<Script>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let words: Vec<&str> = first.split(' ').collect();
    let path = words.get(1).copied().unwrap_or_default().to_owned();
    log.lock().expect("a log").push(format!("{} {path} {}", words[0], hex::encode(body)).trim().to_owned());
    let reply = {
        let mut script = script.lock().expect("a script");
        match script.get_mut(&path) {
            Some(replies) if replies.len() > 1 => replies.remove(0),
            Some(replies) => replies[0].clone(),
            None => Reply::status(404),
        }
    };
    let mut head =
        format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\nconnection: close\r\n", reply.status, reply.body.len());
    reply.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let (start, rest) = reply.body.split_at(reply.body.len() / 2);
    stream.write_all(start)?;
    stream.flush()?;
    match reply.manner {
        Manner::Whole => {}
        Manner::Slow(pause) => thread::sleep(pause),
        Manner::Cut => return Ok(()),
    }
    stream.write_all(rest)?;
    stream.flush()
}
