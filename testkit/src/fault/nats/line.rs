//! Messages of the protocol, cut out of a stream of bytes: a line, and a payload where the line
//! says so.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::super::{Call, Effect, Server};

/// One message, whole.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// The words of its line.
    words: Vec<String>,
    /// All of its bytes.
    pub(super) bytes: Bytes,
    payload: usize,
}

impl Message {
    /// Its verb, in capitals.
    pub(super) fn verb(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// A word of its line; the verb is number 0.
    pub(super) fn word(&self, number: usize) -> &str {
        self.words.get(number).map_or("", String::as_str)
    }

    /// Where an answer is expected, if one is.
    pub(super) fn reply(&self) -> Option<&str> {
        let (before, after) = match self.verb() {
            "PUB" => (2, 1),
            "HPUB" => (2, 2),
            "MSG" => (3, 1),
            "HMSG" => (3, 2),
            _ => return None,
        };
        (self.words.len() == before + 1 + after).then(|| self.word(before))
    }

    /// Its payload, without headers of HPUB and HMSG.
    pub(super) fn payload(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(2);
        self.bytes.get(self.payload..end).unwrap_or_default()
    }

    /// What a publication asks for.
    pub(super) fn call(&self) -> Call {
        let subject = self.word(1);
        let api = subject.strip_prefix("$JS.API.");
        let (name, effect) = if let Some(api) = api {
            api_call(api)
        } else if subject.starts_with("$JS.ACK.") {
            acknowledgement(self.payload())
        } else {
            let root = subject.split('.').next().unwrap_or_default();
            (format!("publish-{root}"), Effect::Create)
        };
        Call::new(Server::Nats, name, effect)
    }
}

/// `STREAM.INFO.ACTIVITY_EVENTS` and the like: the verb is the part that is always the same.
fn api_call(subject: &str) -> (String, Effect) {
    if subject.starts_with("CONSUMER.MSG.NEXT") {
        return ("fetch".to_owned(), Effect::Subscribe);
    }
    let verb: Vec<String> = subject.split('.').take(2).map(str::to_lowercase).collect();
    let effect = match verb.get(1).map_or("", String::as_str) {
        "create" | "durable" => Effect::Create,
        "update" | "purge" => Effect::Update,
        "delete" => Effect::Delete,
        _ => Effect::Read,
    };
    (verb.join("-"), effect)
}

fn acknowledgement(payload: &[u8]) -> (String, Effect) {
    let word = payload.split(|byte| *byte == b' ').next();
    let word = String::from_utf8_lossy(word.unwrap_or_default());
    let name = match word.as_ref() {
        "" | "+ACK" => "ack",
        "-NAK" => "nak",
        "+TERM" => "term",
        "+WPI" => "progress",
        _ => "ack-other",
    };
    (name.to_owned(), Effect::Update)
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Messages<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Messages<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next message; an error at the end of the stream. May be cancelled at any time.
    pub(super) async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = cut(&mut self.buffer) {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn cut(buffer: &mut BytesMut) -> Option<Message> {
    let end = buffer.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let line = String::from_utf8_lossy(&buffer[..end - 2]).into_owned();
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if let Some(verb) = words.first_mut() {
        verb.make_ascii_uppercase();
    }
    let number = |from_the_end: usize| -> usize {
        let at = words.len().checked_sub(from_the_end);
        let word = at.and_then(|at| words.get(at));
        word.and_then(|word| word.parse().ok()).unwrap_or_default()
    };
    let (headers, length) = match words.first().map_or("", String::as_str) {
        "PUB" | "MSG" => (0, Some(number(1))),
        "HPUB" | "HMSG" => (number(2), Some(number(1))),
        _ => (0, None),
    };
    let whole = length.map_or(end, |length| end + length + 2);
    if buffer.len() < whole {
        return None;
    }
    Some(Message {
        words,
        bytes: buffer.split_to(whole).freeze(),
        payload: end + headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Message {
        cut(&mut BytesMut::from(text)).unwrap()
    }

    #[test]
    fn a_publication_is_named_by_what_it_asks_for() {
        let next = first("PUB $JS.API.CONSUMER.MSG.NEXT.S.C _INBOX.a.1 2\r\n{}\r\n");
        assert_eq!(next.call().name, "fetch");
        assert_eq!(next.reply(), Some("_INBOX.a.1"));
        let ack = first("PUB $JS.ACK.S.C.1.1.1.1.0 _INBOX.a.2 4\r\n+ACK\r\nPING\r\n");
        assert_eq!(ack.call().name, "ack");
        assert_eq!(ack.payload(), b"+ACK");
        let letter = first("HPUB activity-dlq.x _INBOX.a.3 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(letter.call().name, "publish-activity-dlq");
        assert_eq!(letter.payload(), b"hi");
        let info = first("PUB $JS.API.STREAM.INFO.S r 0\r\n\r\n");
        assert_eq!(info.call().name, "stream-info");
    }

    #[test]
    fn half_a_message_is_waited_for() {
        let mut buffer = BytesMut::from("MSG a 1 5\r\nhal");
        assert!(cut(&mut buffer).is_none());
        buffer.extend_from_slice(b"lo\r\nPING\r\n");
        assert_eq!(cut(&mut buffer).unwrap().payload(), b"hallo");
        assert_eq!(cut(&mut buffer).unwrap().verb(), "PING");
    }
}
