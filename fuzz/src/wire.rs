//! Mutates protobuf messages field by field, so that the result is usually a valid message.
//! Arbitrary byte changes would leave wrong lengths.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// Maximum depth of nested messages.
const MAX_DEPTH: usize = 4;

/// The fields of a message, or of bytes that parse as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(Vec<Field>);

#[derive(Clone, Debug, PartialEq)]
struct Field {
    /// Field number and wire type, as encoded.
    key: Vec<u8>,
    wire_type: u8,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Bytes(Vec<u8>),
    Message(Fields),
}

impl Fields {
    /// Parses a message. Returns `None` if the bytes are not one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        parse(bytes, MAX_DEPTH)
    }

    /// Encodes the message with correct lengths.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::new();
        for Field { key, wire_type, value } in &self.0 {
            encoded.extend(key);
            let bytes = match value {
                Value::Bytes(bytes) => bytes.clone(),
                Value::Message(fields) => fields.encode(),
            };
            if *wire_type == LENGTH_DELIMITED {
                let _ = prost::encode_length_delimiter(bytes.len(), &mut encoded); // a Vec never runs out of space
            }
            encoded.extend(bytes);
        }
        encoded
    }

    /// Makes one random change. `bytes` mutates the bytes of a value.
    pub fn change(&mut self, seed: u32, mut bytes: impl FnMut(&mut Vec<u8>)) {
        change(&mut self.0, &mut SmallRng::seed_from_u64(seed.into()), &mut bytes);
    }
}

fn parse(mut bytes: &[u8], depth: usize) -> Option<Fields> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (key, number) = take_varint(&mut bytes)?;
        let wire_type = u8::try_from(number & 7).ok()?;
        let taken = match wire_type {
            VARINT => take_varint(&mut bytes)?.0,
            FIXED64 => take(&mut bytes, 8)?,
            FIXED32 => take(&mut bytes, 4)?,
            LENGTH_DELIMITED => {
                let (_, length) = take_varint(&mut bytes)?;
                take(&mut bytes, usize::try_from(length).ok()?)?
            }
            _ => return None,
        };
        let inner = (wire_type == LENGTH_DELIMITED && depth > 0 && !taken.is_empty())
            .then(|| parse(taken, depth - 1));
        let value = inner.flatten().map_or_else(|| Value::Bytes(taken.to_vec()), Value::Message);
        fields.push(Field { key: key.to_vec(), wire_type, value });
    }
    Some(Fields(fields))
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint<'b>(bytes: &mut &'b [u8]) -> Option<(&'b [u8], u64)> {
    let length = bytes.iter().take(10).position(|byte| *byte < 0x80)? + 1;
    let taken = take(bytes, length)?;
    let number =
        taken.iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    Some((taken, number))
}

fn change(fields: &mut Vec<Field>, random: &mut SmallRng, bytes: &mut impl FnMut(&mut Vec<u8>)) {
    if fields.is_empty() {
        return;
    }
    let at = random.random_range(0..fields.len());
    let other = random.random_range(0..fields.len());
    if let Value::Message(inner) = &mut fields[at].value
        && random.random_bool(0.7)
    {
        return change(&mut inner.0, random, bytes);
    }
    match random.random_range(0..6) {
        0 => fields.insert(other, fields[at].clone()),
        1 => drop(fields.remove(at)),
        2 => fields.swap(at, other),
        3 if fields[at].wire_type == fields[other].wire_type => {
            fields[at].value = fields[other].value.clone()
        }
        4 => split(fields, at, random),
        _ => change_value(&mut fields[at], random, bytes),
    }
}

/// Splits a field in two, as a packed repeated field may be sent.
fn split(fields: &mut Vec<Field>, at: usize, random: &mut SmallRng) {
    let mut second = fields[at].clone();
    if let (Value::Bytes(first), Value::Bytes(rest)) = (&mut fields[at].value, &mut second.value)
        && second.wire_type == LENGTH_DELIMITED
        && !first.is_empty()
    {
        let numbers = first.len() / 8; // assuming 8-byte numbers
        let piece = if numbers > 0 {
            8 * random.random_range(0..=numbers)
        } else {
            random.random_range(0..first.len())
        };
        *rest = first.split_off(piece);
        fields.insert(at + 1, second);
    }
}

fn change_value(field: &mut Field, random: &mut SmallRng, bytes: &mut impl FnMut(&mut Vec<u8>)) {
    match &mut field.value {
        Value::Message(fields) => change(&mut fields.0, random, bytes),
        Value::Bytes(value) => {
            let length = value.len();
            bytes(value);
            match field.wire_type {
                FIXED32 | FIXED64 => value.resize(length, 0),
                VARINT => as_varint(value),
                _ => {}
            }
        }
    }
}

/// Turns bytes into a varint: every byte except the last has its continuation bit set.
fn as_varint(bytes: &mut Vec<u8>) {
    bytes.truncate(10);
    bytes.iter_mut().for_each(|byte| *byte |= 0x80);
    match bytes.last_mut() {
        Some(last) => *last &= 0x7f,
        None => bytes.push(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A varint, a string, a message with two 8-byte numbers, and an 8-byte number.
    const MESSAGE: &[u8] =
        b"\x08\x96\x01\x12\x06sensor\x1a\x12\x0a\x10ABCDEFGHabcdefgh\x21hgfedcba";

    #[test]
    fn a_message_is_encoded_as_it_was() {
        assert_eq!(Fields::parse(MESSAGE).unwrap().encode(), MESSAGE);
        assert_eq!(Fields::parse(b"\x0b"), None, "groups are not supported");
        assert_eq!(Fields::parse(b"\x12\x06sens"), None, "the value is truncated");
    }

    #[test]
    fn whatever_is_changed_it_stays_a_message() {
        let mut fields = Fields::parse(MESSAGE).unwrap();
        let mut seen = std::collections::HashSet::new();
        for seed in 0..1_000 {
            fields.change(seed, |bytes| bytes.extend(b"\xffx"));
            let encoded = fields.encode();
            assert!(Fields::parse(&encoded).is_some(), "{encoded:?}");
            if seen.insert(encoded) && seed % 20 == 0 {
                fields = Fields::parse(MESSAGE).unwrap();
            }
        }
        assert!(seen.len() > 100, "{}", seen.len());
    }
}
