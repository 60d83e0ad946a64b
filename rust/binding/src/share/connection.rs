//! One connection: what has come of lines, and what is still to be sent.

use crate::share::forks::Noted;
use crate::share::wire::LONGEST_LINE;
use mio::net::UnixStream;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// A caller.
pub(super) struct Connection {
    stream: Noted<UnixStream>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The jobs that were scheduled by calls whose answers are in `output`.
    pub(super) ids: Vec<Arc<str>>,
    /// Whether it has said what it speaks.
    pub(super) greeted: bool,
    /// Whether it is closed once all is sent.
    pub(super) ends: bool,
}

impl Connection {
    pub(super) fn new(stream: Noted<UnixStream>) -> Self {
        Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            ids: Vec::new(),
            greeted: false,
            ends: false,
        }
    }

    pub(super) fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// Take in what has come: whole lines, and whether the other end is still open.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        to_the_end: bool,
    ) -> io::Result<(Vec<u8>, bool)> {
        let before = self.input.len();
        let open = loop {
            match self.stream.read(scratch) {
                Ok(0) => break false,
                Ok(count) => {
                    self.input.extend_from_slice(&scratch[..count]);
                    if self.input.len() > LONGEST_LINE {
                        // A caller waits for its answer: so much at once is none of ours, and it would not end.
                        return Err(ErrorKind::InvalidData.into());
                    }
                    // Of a stream less than there is room for is all there is; more makes it readable again.
                    if count < scratch.len() && !to_the_end {
                        break true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let end = self.input[before..].iter().rposition(|&byte| byte == b'\n');
        let Some(end) = end else {
            return Ok((Vec::new(), open));
        };
        let rest = self.input.split_off(before + end + 1);
        Ok((std::mem::replace(&mut self.input, rest), open))
    }

    /// Leave something to be sent; whether there was nothing.
    pub(super) fn put(&mut self, line: Vec<u8>) -> bool {
        if self.output.is_empty() {
            self.output = line;
            return true;
        }
        self.output.extend_from_slice(&line);
        false
    }

    /// Send as much as goes; whether that is all.
    pub(super) fn send(&mut self) -> io::Result<bool> {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.stream.write(&self.output[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.drain(..sent);
        Ok(self.output.is_empty())
    }
}
