//! Messages of the protocol, cut out of a stream of bytes.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The type of a message of the beginning, which has none: SSLRequest and StartupMessage.
pub(super) const UNTYPED: u8 = 0;

/// One message, whole.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Its type.
    pub(super) kind: u8,
    /// All of its bytes, with type and length.
    pub(super) bytes: Bytes,
}

impl Frame {
    /// What stands after type and length.
    pub(super) fn payload(&self) -> &[u8] {
        let header = if self.kind == UNTYPED { 4 } else { 5 };
        &self.bytes[header..]
    }

    /// The texts at the beginning of the payload, each ended by a zero.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.payload()
            .split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Frames<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next message; an error at the end of the stream. May be cancelled at any time.
    pub(super) async fn next(&mut self, is_typed: bool) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.cut(is_typed) {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// One byte: the answer to an SSLRequest.
    pub(super) async fn next_byte(&mut self) -> io::Result<u8> {
        while self.buffer.is_empty() {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.get_u8())
    }

    fn cut(&mut self, is_typed: bool) -> Option<Frame> {
        let kind_length = usize::from(is_typed);
        let length = self.buffer.get(kind_length..kind_length + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let end = kind_length + usize::try_from(length).ok()?;
        if self.buffer.len() < end {
            return None;
        }
        let kind = if is_typed { self.buffer[0] } else { UNTYPED };
        let bytes = self.buffer.split_to(end).freeze();
        Some(Frame { kind, bytes })
    }
}
