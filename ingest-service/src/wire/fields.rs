//! Iterates over the fields of a message in wire order.

/// Error of bytes that are not a message of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a field extends past the end of its message")]
    Truncated,
    #[error("a varint is longer than 10 bytes")]
    Varint,
    #[error("a field has number 0 or an unsupported wire type")]
    Tag,
    #[error("field {0} has the wrong wire type")]
    Type(u32),
    #[error("a packed column's length is not a multiple of 8 bytes")]
    Column,
    #[error("the message has more than one batch")]
    Twice,
}

/// Value of a field, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WireValue<'m> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'m [u8]),
    Fixed32,
}

/// Number and value of a field.
pub(crate) type WireField<'m> = (u32, WireValue<'m>);

/// Iterator over the fields of a message. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'m>(pub(crate) &'m [u8]);

impl<'m> Iterator for Fields<'m> {
    type Item = Result<WireField<'m>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'m> Fields<'m> {
    #[inline]
    fn field(&mut self) -> Result<WireField<'m>, Malformed> {
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::Tag)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed::Tag);
        }
        let value = match tag & 7 {
            0 => WireValue::Varint(self.varint()?),
            1 => WireValue::Fixed64(*self.take_array()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                WireValue::Bytes(self.take(length)?)
            }
            5 => {
                self.take_array::<4>()?;
                WireValue::Fixed32
            }
            _ => return Err(Malformed::Tag),
        };
        Ok((number, value))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for at in 0..10 {
            let byte = *self.0.get(at).ok_or(Malformed::Truncated)?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'m [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<&'m [u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'m> WireValue<'m> {
    #[inline]
    pub(crate) fn bytes(self, number: u32) -> Result<&'m [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::Type(number)),
        }
    }

    #[inline]
    pub(crate) fn varint(self, number: u32) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed::Type(number)),
        }
    }

    #[inline]
    pub(crate) fn double(self, number: u32) -> Result<f64, Malformed> {
        match self {
            Self::Fixed64(bytes) => Ok(f64::from_le_bytes(bytes)),
            _ => Err(Malformed::Type(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_their_order() {
        let bytes =
            [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x19, 1, 0, 0, 0, 0, 0, 0, 0, 0x25, 1, 2, 3, 4];
        let fields: Vec<_> = Fields(&bytes).map(Result::unwrap).collect();
        let fixed = WireValue::Fixed64([1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            fields,
            [
                (1, WireValue::Varint(150)),
                (2, WireValue::Bytes(b"hi")),
                (3, fixed),
                (4, WireValue::Fixed32)
            ]
        );
    }

    #[test]
    fn reading_any_bytes_ends() {
        let endless = [0xff; 11];
        assert_eq!(
            Fields(&[0x08].into_iter().chain(endless).collect::<Vec<_>>()).next(),
            Some(Err(Malformed::Varint))
        );
        let cases: [(&[u8], Malformed); 5] = [
            (&[0x12, 200, 1], Malformed::Truncated),
            (&[0x09, 1, 2], Malformed::Truncated),
            (&[0x08], Malformed::Truncated),
            (&[0x00], Malformed::Tag),
            (&[0x0b], Malformed::Tag),
        ];
        for (bytes, error) in cases {
            let mut fields = Fields(bytes);
            assert_eq!((fields.next(), fields.next()), (Some(Err(error)), None));
        }
    }
}
