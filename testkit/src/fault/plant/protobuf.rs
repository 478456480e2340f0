//! Edits of a protobuf message in a gRPC frame, by the numbers of its fields: without its types,
//! which testkit does not know.

use bytes::{BufMut as _, Bytes, BytesMut};

/// What is done to a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit {
    /// It is left out.
    Remove,
    /// Its text gets this number at its end.
    Tail(u64),
    /// It becomes this number.
    Set(u64),
}

/// A gRPC frame begins with a flag and a length.
const FRAME: usize = 5;

/// The frame with an edited message; as it is when it can't be understood.
pub(super) fn edit(frame: &Bytes, path: &[u32], edit: Edit) -> Bytes {
    let Some(message) = frame.get(FRAME..) else {
        return frame.clone();
    };
    let Some(edited) = edit_message(message, path, edit) else {
        return frame.clone();
    };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(edited.len()).unwrap_or_default());
    bytes.extend_from_slice(&edited);
    bytes.freeze()
}

fn edit_message(mut message: &[u8], path: &[u32], edit: Edit) -> Option<BytesMut> {
    let (number, rest) = path.split_first()?;
    let mut edited = BytesMut::new();
    let mut is_there = false;
    while !message.is_empty() {
        let field = Field::take(&mut message)?;
        if field.number != u64::from(*number) {
            field.put(&mut edited);
            continue;
        }
        is_there = true;
        match (rest.is_empty(), edit, field.value) {
            (false, _, Value::Bytes(inner)) => {
                let inner = edit_message(inner, rest, edit)?;
                put_bytes(&mut edited, field.number, &inner);
            }
            (true, Edit::Remove, _) => {}
            (true, Edit::Tail(tail), Value::Bytes(text)) => {
                let text = [text, format!("-{tail}").as_bytes()].concat();
                put_bytes(&mut edited, field.number, &text);
            }
            (true, Edit::Set(value), _) => put_number(&mut edited, field.number, value),
            _ => field.put(&mut edited),
        }
    }
    if let (false, true, Edit::Set(value)) = (is_there, rest.is_empty(), edit) {
        put_number(&mut edited, u64::from(*number), value);
    }
    Some(edited)
}

struct Field<'message> {
    number: u64,
    value: Value<'message>,
}

#[derive(Clone, Copy)]
enum Value<'message> {
    Number(u64),
    Bytes(&'message [u8]),
    Fixed(u8, &'message [u8]),
}

impl<'message> Field<'message> {
    fn take(message: &mut &'message [u8]) -> Option<Self> {
        let key = take_number(message)?;
        let value = match key & 7 {
            1 => Value::Fixed(1, take_bytes(message, 8)?),
            5 => Value::Fixed(5, take_bytes(message, 4)?),
            2 => {
                let length = usize::try_from(take_number(message)?).ok()?;
                Value::Bytes(take_bytes(message, length)?)
            }
            0 => Value::Number(take_number(message)?),
            _ => return None,
        };
        Some(Self {
            number: key >> 3,
            value,
        })
    }

    fn put(&self, message: &mut BytesMut) {
        match self.value {
            Value::Number(value) => put_number(message, self.number, value),
            Value::Bytes(bytes) => put_bytes(message, self.number, bytes),
            Value::Fixed(wire_type, bytes) => {
                put_varint(message, self.number << 3 | u64::from(wire_type));
                message.extend_from_slice(bytes);
            }
        }
    }
}

fn take_bytes<'message>(message: &mut &'message [u8], length: usize) -> Option<&'message [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for position in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_number(message: &mut BytesMut, number: u64, value: u64) {
    put_varint(message, number << 3);
    put_varint(message, value);
}

fn put_bytes(message: &mut BytesMut, number: u64, bytes: &[u8]) {
    put_varint(message, number << 3 | 2);
    put_varint(message, u64::try_from(bytes.len()).unwrap_or_default());
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut BytesMut, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            message.put_u8(low);
            return;
        }
        message.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{1: 300, 3: {2: "id", 4: 7}}`
    fn frame() -> Bytes {
        let mut inner = BytesMut::new();
        put_bytes(&mut inner, 2, b"id");
        put_number(&mut inner, 4, 7);
        let mut message = BytesMut::new();
        put_number(&mut message, 1, 300);
        put_bytes(&mut message, 3, &inner);
        framed(&message)
    }

    fn framed(message: &[u8]) -> Bytes {
        let mut frame = BytesMut::from(&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()][..]);
        frame.extend_from_slice(message);
        frame.freeze()
    }

    #[test]
    fn only_the_named_field_changes() {
        let mut expected = BytesMut::new();
        put_number(&mut expected, 1, 300);
        let mut inner = BytesMut::new();
        put_bytes(&mut inner, 2, b"id-5");
        put_number(&mut inner, 4, 7);
        put_bytes(&mut expected, 3, &inner);
        assert_eq!(edit(&frame(), &[3, 2], Edit::Tail(5)), framed(&expected));
    }

    #[test]
    fn a_field_is_left_out_or_becomes_another_number() {
        let without = edit(&frame(), &[3], Edit::Remove);
        assert_eq!(without, framed(&[8, 0xac, 2]));
        let other = edit(&without, &[1], Edit::Set(1));
        assert_eq!(other, framed(&[8, 1]));
        let added = edit(&other, &[2], Edit::Set(3));
        assert_eq!(added, framed(&[8, 1, 16, 3]));
    }

    #[test]
    fn what_is_no_message_stays_as_it_is() {
        let nonsense = Bytes::from_static(&[0, 0, 0, 0, 1, 0xff]);
        assert_eq!(edit(&nonsense, &[1], Edit::Remove), nonsense);
    }
}
