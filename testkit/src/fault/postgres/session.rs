//! One connection of the program to Postgres.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::super::conductor::Injection;
use super::super::http::pick;
use super::super::plant::Slip;
use super::super::{Call, Conductor, Effect, Kind, LONGEST_HOLD, SLOW, Server};
use super::frame::{Frame, Frames, UNTYPED};
use super::statement;

/// The code of an SSLRequest.
const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();

/// A connection.
pub(super) struct Session {
    client: Frames<OwnedReadHalf>,
    to_client: OwnedWriteHalf,
    server: Frames<OwnedReadHalf>,
    to_server: OwnedWriteHalf,
    conductor: Arc<Conductor>,
    /// What each prepared statement is called.
    statements: HashMap<String, Call>,
    /// What the program has sent since its last Sync.
    batch: Batch,
    /// What is to become of the answer to each batch, in order.
    answers: VecDeque<Answer>,
    /// Whether the server is inside of a transaction, by its last word.
    in_transaction: bool,
}

#[derive(Default)]
struct Batch {
    bytes: BytesMut,
    call: Option<Call>,
}

/// What becomes of the answer to one batch.
enum Answer {
    /// It is handed on; then the program is killed, if an injection says so.
    Deliver(Option<Injection>),
    /// It is kept back; then the program is killed or the connection cut.
    KeepBack(Injection),
    /// There is none: the batch was not sent, and this is said in the server's place.
    Invent(Bytes),
}

/// Why a session is over.
enum Over {
    /// One side has hung up, or is to believe so.
    HungUp,
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self::HungUp
    }
}

impl Session {
    pub(super) fn new(client: TcpStream, server: TcpStream, conductor: Arc<Conductor>) -> Self {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        Self {
            client: Frames::new(from_client),
            to_client,
            server: Frames::new(from_server),
            to_server,
            conductor,
            statements: HashMap::new(),
            batch: Batch::default(),
            answers: VecDeque::new(),
            in_transaction: false,
        }
    }

    /// Carries messages to and fro until one side hangs up.
    pub(super) async fn run(mut self) {
        let Ok(()) = self.begin().await else { return };
        loop {
            let step = tokio::select! {
                frame = self.client.next(true) => match frame {
                    Ok(frame) => self.client_sent(frame).await,
                    Err(_) => return,
                },
                frame = self.server.next(true) => match frame {
                    Ok(frame) => self.server_sent(frame).await,
                    Err(_) => return,
                },
            };
            if step.is_err() {
                return;
            }
        }
    }

    /// The beginning of a connection, whose messages have no type.
    async fn begin(&mut self) -> Result<(), Over> {
        loop {
            let frame = self.client.next(false).await?;
            self.to_server.write_all(&frame.bytes).await?;
            if frame.payload() == SSL_REQUEST {
                let answer = self.server.next_byte().await?;
                self.to_client.write_all(&[answer]).await?;
                continue;
            }
            debug_assert_eq!(frame.kind, UNTYPED);
            // The server's greeting ends as the answer to a batch does.
            self.answers.push_back(Answer::Deliver(None));
            let connect = Call::new(Server::Postgres, "connect", Effect::Read);
            return match self.conductor.meet(&connect) {
                None => Ok(()),
                Some(injection) => self.strike_connect(injection).await,
            };
        }
    }

    async fn strike_connect(&mut self, injection: Injection) -> Result<(), Over> {
        match injection.kind {
            Kind::CrashBefore => {
                self.conductor.kill();
                Err(Over::HungUp)
            }
            Kind::CrashAfter => {
                self.answers.clear();
                self.answers.push_back(Answer::Deliver(Some(injection)));
                Ok(())
            }
            Kind::TimeOut => self.hold(&injection).await,
            Kind::Slow => {
                tokio::time::sleep(SLOW).await;
                Ok(())
            }
            Kind::Retryable => {
                let full = error("FATAL", "53300", "sorry, too many clients already");
                self.to_client.write_all(&full).await?;
                Err(Over::HungUp)
            }
            Kind::Permanent => {
                let refused = error("FATAL", "28000", "the fault proxy lets nobody in");
                self.to_client.write_all(&refused).await?;
                Err(Over::HungUp)
            }
            _ => Err(Over::HungUp),
        }
    }

    async fn client_sent(&mut self, frame: Frame) -> Result<(), Over> {
        self.batch.bytes.extend_from_slice(&frame.bytes);
        match frame.kind {
            b'P' => {
                let mut texts = frame.texts();
                let (prepared, sql) = (texts.next(), texts.next());
                let call = statement::name(&sql.unwrap_or_default());
                self.statements.insert(prepared.unwrap_or_default(), call);
            }
            b'B' => {
                let prepared = frame.texts().nth(1).unwrap_or_default();
                let call = self.statements.get(&prepared).cloned();
                self.batch.call = self.batch.call.take().or(call);
            }
            b'Q' => {
                let sql = frame.texts().next().unwrap_or_default();
                self.batch.call = Some(statement::name(&sql));
                return self.send_batch().await;
            }
            b'S' => return self.send_batch().await,
            // Flush, Terminate, Password: nothing to be struck, and no answer that ends a batch.
            b'H' | b'X' | b'p' => {
                let bytes = self.batch.bytes.split();
                self.to_server.write_all(&bytes).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn send_batch(&mut self) -> Result<(), Over> {
        let Batch { mut bytes, call } = std::mem::take(&mut self.batch);
        let slip = call.as_ref().and_then(|call| self.conductor.slip(call));
        if let Some((Slip::RollsBack, _)) = slip {
            bytes = BytesMut::from(&b"Q\0\0\0\x0dROLLBACK\0"[..]);
        }
        let injection = call
            .filter(|call| call.name != "empty")
            .and_then(|call| self.conductor.meet(&call));
        let Some(injection) = injection else {
            self.answers.push_back(Answer::Deliver(None));
            return Ok(self.to_server.write_all(&bytes).await?);
        };
        match injection.kind {
            Kind::CrashBefore => {
                self.conductor.kill();
                Err(Over::HungUp)
            }
            Kind::CrashApplied | Kind::ReplyLost => {
                self.answers.push_back(Answer::KeepBack(injection));
                Ok(self.to_server.write_all(&bytes).await?)
            }
            Kind::CrashAfter => {
                self.answers.push_back(Answer::Deliver(Some(injection)));
                Ok(self.to_server.write_all(&bytes).await?)
            }
            Kind::TimeOut => self.hold(&injection).await,
            Kind::Slow => {
                tokio::time::sleep(SLOW).await;
                self.answers.push_back(Answer::Deliver(None));
                Ok(self.to_server.write_all(&bytes).await?)
            }
            Kind::Retryable | Kind::Permanent | Kind::Conflict => self.refuse(&injection).await,
            _ => Err(Over::HungUp),
        }
    }

    /// Says no in the server's place, after the answers that are still to come.
    async fn refuse(&mut self, injection: &Injection) -> Result<(), Over> {
        let (severity, code) = match injection.kind {
            Kind::Permanent => ("ERROR", "42501"),
            Kind::Conflict => ("ERROR", "23505"),
            _ => pick(
                &[("ERROR", "40001"), ("FATAL", "57P01"), ("ERROR", "53200")],
                injection.variant,
            ),
        };
        let mut answer = error(severity, code, "the fault proxy says so");
        if severity == "FATAL" {
            self.to_client.write_all(&answer).await?;
            return Err(Over::HungUp);
        }
        // ReadyForQuery: idle, or in a transaction that has failed.
        let state = if self.in_transaction { b'E' } else { b'I' };
        answer.extend_from_slice(&[b'Z', 0, 0, 0, 5, state]);
        self.answers.push_back(Answer::Invent(answer.freeze()));
        self.invent().await
    }

    /// Gives the invented answers whose turn it is.
    async fn invent(&mut self) -> Result<(), Over> {
        while let Some(Answer::Invent(_)) = self.answers.front() {
            if let Some(Answer::Invent(bytes)) = self.answers.pop_front() {
                self.to_client.write_all(&bytes).await?;
            }
        }
        Ok(())
    }

    /// Answers nothing until the program hangs up.
    async fn hold(&mut self, injection: &Injection) -> Result<(), Over> {
        let waiting = async { while self.client.next(true).await.is_ok() {} };
        if tokio::time::timeout(LONGEST_HOLD, waiting).await.is_err() {
            injection.is_endless();
        }
        Err(Over::HungUp)
    }

    async fn server_sent(&mut self, frame: Frame) -> Result<(), Over> {
        match frame.kind {
            b'A' => return self.notify(frame).await,
            // Whatever the batch, notices and settings are for the program.
            b'N' | b'S' => return Ok(self.to_client.write_all(&frame.bytes).await?),
            b'Z' => self.in_transaction = frame.payload() == b"T",
            _ => {}
        }
        let is_end = frame.kind == b'Z';
        if !matches!(self.answers.front(), Some(Answer::KeepBack(_))) {
            self.to_client.write_all(&frame.bytes).await?;
        }
        if !is_end {
            return Ok(());
        }
        match self.answers.pop_front() {
            Some(Answer::KeepBack(injection)) => {
                if injection.kind == Kind::CrashApplied {
                    self.conductor.kill();
                }
                Err(Over::HungUp)
            }
            Some(Answer::Deliver(Some(_injection))) => {
                self.conductor.kill();
                Err(Over::HungUp)
            }
            _ => self.invent().await,
        }
    }

    /// A notification of LISTEN/NOTIFY.
    async fn notify(&mut self, frame: Frame) -> Result<(), Over> {
        let channel = frame.payload().get(4..).unwrap_or_default();
        let channel = channel.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = format!("notify-{}", String::from_utf8_lossy(channel));
        let call = Call::new(Server::Postgres, name, Effect::Delivery);
        let injection = self.conductor.meet(&call);
        match injection.as_ref().map(|injection| injection.kind) {
            Some(Kind::CrashBefore) => {
                self.conductor.kill();
                return Err(Over::HungUp);
            }
            Some(Kind::Cut) => return Err(Over::HungUp),
            Some(Kind::ReplyLost) => return Ok(()),
            Some(Kind::Slow) => tokio::time::sleep(SLOW).await,
            Some(Kind::Duplicated) => self.to_client.write_all(&frame.bytes).await?,
            _ => {}
        }
        self.to_client.write_all(&frame.bytes).await?;
        if injection.is_some_and(|injection| injection.kind == Kind::CrashAfter) {
            self.conductor.kill();
            return Err(Over::HungUp);
        }
        Ok(())
    }
}

/// An ErrorResponse.
fn error(severity: &str, code: &str, message: &str) -> BytesMut {
    let mut fields = BytesMut::new();
    for (field, text) in [
        (b'S', severity),
        (b'V', severity),
        (b'C', code),
        (b'M', message),
    ] {
        fields.put_u8(field);
        fields.extend_from_slice(text.as_bytes());
        fields.put_u8(0);
    }
    fields.put_u8(0);
    let mut frame = BytesMut::new();
    frame.put_u8(b'E');
    frame.put_u32(u32::try_from(fields.len()).unwrap_or_default() + 4);
    frame.extend_from_slice(&fields);
    frame
}
