//! Planted bugs: a proxy makes a program look as if it had one. Not to be confused with a fault,
//! which befalls a right program once; a bug is there all the time, and a harness that does not
//! find it is worth nothing.

mod json;
mod protobuf;

use bytes::Bytes;

use super::{Call, Server};

/// A bug of a program, seen from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plant {
    /// Whom the program calls.
    pub server: Server,
    /// What it calls; a name that ends in `*` means all that begin so.
    pub call: &'static str,
    /// What it does wrong.
    pub slip: Slip,
}

/// What a program does wrong, for each call of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// It does not make the call, and goes on as if it had.
    Never,
    /// It goes on before the call is made: it is made three seconds later.
    Late,
    /// It makes it twice, without a key by which the second could be known.
    Twice,
    /// It leaves a field out: the numbers of a protobuf message from the outside in.
    Forgets(&'static [u32]),
    /// It puts another text into a field: one that is different each time.
    MakesUp(&'static [u32]),
    /// It sends another number.
    Mistakes(&'static [u32], u64),
    /// It leaves a field of a JSON body out.
    Omits(&'static str),
    /// It puts something else into a field of a JSON body.
    Claims(&'static str, Claim),
    /// It pays no attention: a delivery is as good as not there.
    Ignores,
    /// It believes to have read that there is nothing.
    SeesNothing,
    /// It acknowledges a message as soon as it has it, and never after.
    AcknowledgesEarly,
    /// It acknowledges what it should ask for again.
    AcknowledgesAnyway,
    /// It rolls back what it should commit.
    RollsBack,
}

/// What is put into a field of a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A text.
    Text(&'static str),
    /// A number.
    Number(i64),
    /// Every condition is as if all were well.
    AllIsWell,
}

impl Plant {
    /// Whether the bug shows in this call.
    pub(super) fn shows_in(&self, call: &Call) -> bool {
        self.server == call.server
            && match self.call.strip_suffix('*') {
                Some(start) => call.name.starts_with(start),
                None => self.call == call.name,
            }
    }
}

impl Slip {
    /// The body of a call as the program with the bug would have written it. `number` is different
    /// for each call.
    pub(super) fn distort(self, body: &Bytes, number: u64) -> Bytes {
        match self {
            Self::Forgets(path) => protobuf::edit(body, path, protobuf::Edit::Remove),
            Self::MakesUp(path) => protobuf::edit(body, path, protobuf::Edit::Tail(number)),
            Self::Mistakes(path, value) => protobuf::edit(body, path, protobuf::Edit::Set(value)),
            Self::Omits(pointer) => json::omit(body, pointer),
            Self::Claims(pointer, claim) => json::claim(body, pointer, claim),
            _ => body.clone(),
        }
    }
}
