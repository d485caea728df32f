//! Messages of the PostgreSQL protocol, as far as a proxy needs them: a kind, a length that
//! includes itself, a body. See
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Message kinds that a proxy inspects.
pub(super) mod kind {
    pub(in super::super) const BIND: u8 = b'B';
    pub(in super::super) const COPY_DATA: u8 = b'd';
    pub(in super::super) const COMMAND_COMPLETE: u8 = b'C';
    pub(in super::super) const PARSE: u8 = b'P';
    pub(in super::super) const QUERY: u8 = b'Q';
    pub(in super::super) const READY_FOR_QUERY: u8 = b'Z';
    pub(in super::super) const SYNC: u8 = b'S';
}

/// A complete message.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
}

impl Message {
    /// Reads the first message of a client, which has no kind.
    pub(super) async fn read_startup(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        Self::read_rest(from, Vec::new()).await
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let kind = from.read_u8().await?;
        Self::read_rest(from, vec![kind]).await
    }

    async fn read_rest(
        from: &mut (impl AsyncRead + Unpin),
        mut bytes: Vec<u8>,
    ) -> io::Result<Self> {
        let length = from.read_u32().await?;
        bytes.extend(length.to_be_bytes());
        let body = bytes.len();
        bytes.resize(body + (length as usize).saturating_sub(4), 0);
        from.read_exact(&mut bytes[body..]).await?;
        Ok(Self { bytes })
    }

    pub(super) fn is_copy_data(&self) -> bool {
        self.bytes[0] == kind::COPY_DATA
    }

    /// Returns whether this is COMMIT, as a simple query (as sqlx 0.9 sends it) or parsed under any
    /// name.
    pub(super) fn is_commit(&self) -> bool {
        let statement = match self.bytes[0] {
            kind::QUERY => self.text(0),
            kind::PARSE => self.text(1),
            _ => return false,
        };
        statement.trim_ascii().eq_ignore_ascii_case(b"COMMIT")
    }

    /// Returns the name of the prepared statement if it writes a small flush. Such a statement
    /// locks rows and inserts points.
    pub(super) fn prepares_write_at_once(&self) -> Option<&[u8]> {
        let has = |part: &[u8]| self.text(1).windows(part.len()).any(|window| window == part);
        (self.bytes[0] == kind::PARSE && has(b"FOR UPDATE") && has(b"INSERT INTO points"))
            .then(|| self.text(0))
    }

    /// Returns whether the message binds parameters to the prepared statement of this name.
    pub(super) fn binds(&self, statement: &[u8]) -> bool {
        self.bytes[0] == kind::BIND && self.text(1) == statement
    }

    pub(super) fn is_sync(&self) -> bool {
        self.bytes[0] == kind::SYNC
    }

    /// Returns whether the server has finished all requests. They are committed unless a
    /// transaction is open.
    pub(super) fn is_ready(&self) -> bool {
        self.bytes[0] == kind::READY_FOR_QUERY
    }

    /// Returns whether the server reports this command as complete. Counts may follow its name.
    pub(super) fn completes(&self, command: &str) -> bool {
        self.bytes[0] == kind::COMMAND_COMPLETE && self.text(0).starts_with(command.as_bytes())
    }

    /// Returns one of the strings at the start of the body, each ended by a zero byte.
    fn text(&self, index: usize) -> &[u8] {
        self.bytes[5..].split(|byte| *byte == 0).nth(index).unwrap_or_default()
    }
}
