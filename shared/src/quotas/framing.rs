//! Finds the boundaries of gRPC messages in a body. Each message follows a header of five bytes,
//! the last four of which are its length.

const HEADER: usize = 5;

/// Parser that follows a body across its chunks.
#[derive(Debug, Default)]
pub(super) struct Framing {
    header: [u8; HEADER],
    /// Number of header bytes received.
    filled: usize,
    /// Length of the current message in bytes.
    length: usize,
    /// Bytes of the current message that are still missing.
    left: usize,
}

/// Progress of the parser within a chunk of the body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Number of bytes parsed: all, or those up to the first boundary of a message.
    pub(super) read: usize,
    /// Length of the message whose header ends there.
    pub(super) begins: Option<usize>,
    /// Length of the message that is complete there.
    pub(super) ended: Option<usize>,
}

impl Framing {
    /// Parses up to the end of a message's header or the end of a message.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Progress {
        let mut progress = Progress::default();
        while progress.read < bytes.len() && progress.begins.is_none() && progress.ended.is_none() {
            let there = &bytes[progress.read..];
            if self.left > 0 {
                let taken = self.left.min(there.len());
                self.left -= taken;
                progress.read += taken;
            } else {
                let taken = (HEADER - self.filled).min(there.len());
                self.header[self.filled..self.filled + taken].copy_from_slice(&there[..taken]);
                self.filled += taken;
                progress.read += taken;
                progress.begins = (self.filled == HEADER).then(|| self.begin());
            }
            progress.ended = (self.left == 0 && self.filled == 0).then_some(self.length);
        }
        progress
    }

    fn begin(&mut self) -> usize {
        let [_, length @ ..] = self.header;
        self.length = u32::from_be_bytes(length) as usize;
        self.filled = 0;
        self.left = self.length;
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_wherever_a_body_is_cut() {
        let body =
            [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 1, 0], &[7; 256]].concat();
        for size in 1..=body.len() {
            let mut framing = Framing::default();
            let mut begun = Vec::new();
            let mut ended = Vec::new();
            for mut chunk in body.chunks(size) {
                while !chunk.is_empty() {
                    let progress = framing.read(chunk);
                    chunk = &chunk[progress.read..];
                    begun.extend(progress.begins);
                    ended.extend(progress.ended);
                }
            }
            assert_eq!((begun, ended), (vec![3, 0, 256], vec![3, 0, 256]), "chunks of {size}");
        }
    }
}
