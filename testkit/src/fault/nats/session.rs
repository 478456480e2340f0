//! One connection of the program to nats-server.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::super::conductor::Injection;
use super::super::plant::Slip;
use super::super::{Call, Conductor, Effect, Kind, LONGEST_HOLD, SLOW, Server};
use super::line::{Message, Messages};

/// How long an answer to a struck publication may take; one that asks for none gets none.
const NO_ANSWER: Duration = Duration::from_millis(50);

/// A connection.
pub(super) struct Session {
    client: Messages<OwnedReadHalf>,
    to_client: OwnedWriteHalf,
    server: Messages<OwnedReadHalf>,
    to_server: OwnedWriteHalf,
    conductor: Arc<Conductor>,
    /// The program's subscriptions: what they listen to, and their ids.
    subscriptions: Vec<(String, String)>,
    /// Answers that are struck when they come, by their subject.
    awaited: HashMap<String, Injection>,
}

/// One side has hung up, or is to believe so.
struct HungUp;

impl From<io::Error> for HungUp {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Session {
    pub(super) fn new(client: TcpStream, server: TcpStream, conductor: Arc<Conductor>) -> Self {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        Self {
            client: Messages::new(from_client),
            to_client,
            server: Messages::new(from_server),
            to_server,
            conductor,
            subscriptions: Vec::new(),
            awaited: HashMap::new(),
        }
    }

    /// Carries messages to and fro until one side hangs up.
    pub(super) async fn run(mut self) {
        loop {
            let step = tokio::select! {
                message = self.client.next() => match message {
                    Ok(message) => self.client_sent(message).await,
                    Err(_) => return,
                },
                message = self.server.next() => match message {
                    Ok(message) => self.server_sent(message).await,
                    Err(_) => return,
                },
            };
            if step.is_err() {
                return;
            }
        }
    }

    async fn client_sent(&mut self, message: Message) -> Result<(), HungUp> {
        let injection = match message.verb() {
            "SUB" => {
                let words = (1..4).map(|number| message.word(number));
                let id = words.filter(|word| !word.is_empty()).last();
                let id = id.unwrap_or_default().to_owned();
                self.subscriptions.push((message.word(1).to_owned(), id));
                None
            }
            "CONNECT" => {
                let connect = Call::new(Server::Nats, "connect", Effect::Read);
                self.conductor.meet(&connect)
            }
            "PUB" | "HPUB" => self.conductor.meet(&message.call()),
            _ => None,
        };
        match injection {
            None => self.publish(message).await,
            Some(injection) => self.strike(message, injection).await,
        }
    }

    /// Hands a message to the server, but for what a planted bug makes of it.
    async fn publish(&mut self, message: Message) -> Result<(), HungUp> {
        let is_publication = matches!(message.verb(), "PUB" | "HPUB");
        let slip = is_publication
            .then(|| self.conductor.slip(&message.call()))
            .flatten();
        match slip {
            Some((Slip::Never, _)) => self.say(message.reply(), "").await,
            Some((Slip::AcknowledgesAnyway, _)) => {
                let reply = message.reply().unwrap_or_default();
                let line = format!("PUB {} {reply} 4\r\n+ACK\r\n", message.word(1));
                Ok(self.to_server.write_all(line.as_bytes()).await?)
            }
            _ => Ok(self.to_server.write_all(&message.bytes).await?),
        }
    }

    /// Answers in the server's place.
    async fn say(&mut self, reply: Option<&str>, body: &str) -> Result<(), HungUp> {
        let Some(reply) = reply else { return Ok(()) };
        let Some(id) = self.subscription(reply) else {
            return Ok(());
        };
        let answer = format!("MSG {reply} {id} {}\r\n{body}\r\n", body.len());
        Ok(self.to_client.write_all(answer.as_bytes()).await?)
    }

    async fn strike(&mut self, message: Message, injection: Injection) -> Result<(), HungUp> {
        match injection.kind {
            Kind::CrashBefore => {
                self.conductor.kill();
                Err(HungUp)
            }
            Kind::CrashApplied | Kind::ReplyLost | Kind::CrashAfter => {
                self.to_server.write_all(&message.bytes).await?;
                if let Some(reply) = message.reply() {
                    self.awaited.insert(reply.to_owned(), injection);
                    return Ok(());
                }
                // Nobody says that it was carried out, so it is given the time.
                tokio::time::sleep(NO_ANSWER).await;
                if injection.kind != Kind::ReplyLost {
                    self.conductor.kill();
                }
                Err(HungUp)
            }
            Kind::TimeOut => self.lose(&message, injection).await,
            Kind::Retryable => self.refuse(&message, "503").await,
            Kind::Permanent => self.refuse(&message, "400").await,
            Kind::Slow => {
                tokio::time::sleep(SLOW).await;
                Ok(self.to_server.write_all(&message.bytes).await?)
            }
            Kind::Duplicated => {
                self.to_server.write_all(&message.bytes).await?;
                Ok(self.to_server.write_all(&message.bytes).await?)
            }
            _ => Err(HungUp),
        }
    }

    /// The message is lost, and the connection stands: other traffic goes on. A connection whose
    /// beginning is lost can't go on.
    async fn lose(&mut self, message: &Message, injection: Injection) -> Result<(), HungUp> {
        if message.verb() == "CONNECT" {
            let waiting = async { while self.client.next().await.is_ok() {} };
            if tokio::time::timeout(LONGEST_HOLD, waiting).await.is_err() {
                injection.is_endless();
            }
            return Err(HungUp);
        }
        Ok(())
    }

    /// Answers in the server's place: 503 is "nobody listens", 400 an error of JetStream.
    async fn refuse(&mut self, message: &Message, code: &str) -> Result<(), HungUp> {
        if message.verb() == "CONNECT" {
            self.to_client
                .write_all(b"-ERR 'Authorization Violation'\r\n")
                .await?;
            return Err(HungUp);
        }
        let Some(reply) = message.reply() else {
            return Ok(());
        };
        let Some(id) = self.subscription(reply) else {
            return Ok(());
        };
        let answer = if code == "503" {
            let headers = "NATS/1.0 503\r\n\r\n";
            let length = headers.len();
            format!("HMSG {reply} {id} {length} {length}\r\n{headers}\r\n")
        } else {
            let body = r#"{"type":"error","error":{"code":400,"err_code":10003,"description":"bad request"}}"#;
            format!("MSG {reply} {id} {}\r\n{body}\r\n", body.len())
        };
        Ok(self.to_client.write_all(answer.as_bytes()).await?)
    }

    /// The id of the subscription that hears of a subject.
    fn subscription(&self, subject: &str) -> Option<String> {
        let hears = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => subject.starts_with(start),
            None => pattern == subject,
        };
        let mut subscriptions = self.subscriptions.iter().rev();
        subscriptions
            .find(|(pattern, _)| hears(pattern))
            .map(|(_, id)| id.clone())
    }

    async fn server_sent(&mut self, message: Message) -> Result<(), HungUp> {
        if !matches!(message.verb(), "MSG" | "HMSG") {
            return Ok(self.to_client.write_all(&message.bytes).await?);
        }
        if let Some(injection) = self.awaited.remove(message.word(1)) {
            return match injection.kind {
                Kind::CrashApplied => {
                    self.conductor.kill();
                    Err(HungUp)
                }
                Kind::CrashAfter => {
                    self.to_client.write_all(&message.bytes).await?;
                    self.conductor.kill();
                    Err(HungUp)
                }
                _ => Err(HungUp),
            };
        }
        let is_delivery = message
            .reply()
            .is_some_and(|reply| reply.starts_with("$JS.ACK."));
        let injection = if is_delivery {
            let call = Call::new(Server::Nats, "message", Effect::Delivery);
            if let Some((Slip::AcknowledgesEarly, _)) = self.conductor.slip(&call) {
                let reply = message.reply().unwrap_or_default();
                let line = format!("PUB {reply} 4\r\n+ACK\r\n");
                self.to_server.write_all(line.as_bytes()).await?;
            }
            self.conductor.meet(&call)
        } else {
            None
        };
        match injection.as_ref().map(|injection| injection.kind) {
            Some(Kind::CrashBefore) => {
                self.conductor.kill();
                return Err(HungUp);
            }
            Some(Kind::Cut) => return Err(HungUp),
            Some(Kind::ReplyLost) => return Ok(()),
            Some(Kind::Slow) => tokio::time::sleep(SLOW).await,
            Some(Kind::Duplicated) => self.to_client.write_all(&message.bytes).await?,
            _ => {}
        }
        self.to_client.write_all(&message.bytes).await?;
        if injection.is_some_and(|injection| injection.kind == Kind::CrashAfter) {
            self.conductor.kill();
            return Err(HungUp);
        }
        Ok(())
    }
}
