//! Where the messages of a call begin and end: five bytes before each, the last four of them its length.

const HEADER: usize = 5;

/// Follows a body as it comes in.
#[derive(Debug, Default)]
pub(super) struct Framing {
    header: [u8; HEADER],
    /// Bytes of the header that are there.
    filled: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

/// What a piece of a body brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// So many bytes of it were looked at: all, or those up to the beginning of a message.
    pub(super) read: usize,
    /// Length of the message that begins there.
    pub(super) begins: Option<usize>,
    /// Whether a message became complete.
    pub(super) ended: bool,
}

impl Framing {
    /// Reads up to where a message begins, after its header.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Piece {
        let mut piece = Piece::default();
        while piece.read < bytes.len() && piece.begins.is_none() {
            let there = &bytes[piece.read..];
            if self.left > 0 {
                let taken = self.left.min(there.len());
                self.left -= taken;
                piece.read += taken;
            } else {
                let taken = (HEADER - self.filled).min(there.len());
                self.header[self.filled..self.filled + taken].copy_from_slice(&there[..taken]);
                self.filled += taken;
                piece.read += taken;
                piece.begins = (self.filled == HEADER).then(|| self.begin());
            }
            piece.ended |= self.left == 0 && self.filled == 0;
        }
        piece
    }

    fn begin(&mut self) -> usize {
        let [_, length @ ..] = self.header;
        (self.left, self.filled) = (u32::from_be_bytes(length) as usize, 0);
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_wherever_a_body_is_cut() {
        let body = [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 1, 0], &[7; 256]].concat();
        for size in 1..=body.len() {
            let (mut framing, mut begun, mut ended) = (Framing::default(), Vec::new(), false);
            for mut chunk in body.chunks(size) {
                while !chunk.is_empty() {
                    let piece = framing.read(chunk);
                    chunk = &chunk[piece.read..];
                    begun.extend(piece.begins);
                    ended = piece.ended;
                }
            }
            assert_eq!((begun, ended), (vec![3, 0, 256], true), "in pieces of {size}");
        }
    }
}
