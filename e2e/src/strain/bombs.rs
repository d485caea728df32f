//! Messages over the size limit, on the wire or after decompression.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use super::Attack;
use super::calls::{Ended, call, framed};

/// The default message limit of the service, in bytes.
const LIMIT: usize = 4 << 20;
/// 5 MiB over the limit.
const TOO_LARGE: usize = LIMIT + (5 << 20);
/// Decompressed sizes of the bombs, in bytes.
const BOMBS: [u64; 4] = [8 << 20, 64 << 20, 256 << 20, 1 << 30];
/// Decompressed size of a message below the limit. It is decoded, but is no valid request.
const NO_BOMB: u64 = 1 << 20;
const METHODS: [&str; 3] = ["IngestBatch", "Ingest", "IngestWithAcks"];
/// How often each message is sent to each method.
const TIMES: usize = 5;

const RESOURCE_EXHAUSTED: Ended = Ended::Code(8);
const INVALID_ARGUMENT: Ended = Ended::Code(3);

/// Results of the calls.
#[derive(Default)]
struct Ends {
    calls: usize,
    unexpected: Vec<String>,
}

impl Ends {
    fn add(&mut self, what: &str, ended: &Ended, expected: &Ended) {
        self.calls += 1;
        if ended != expected {
            self.unexpected.push(format!("{what}: {ended}"));
        }
    }

    fn attack(self, expected: &'static str) -> Attack {
        let calls = self.calls;
        let ok = self.unexpected.is_empty();
        let first: Vec<String> = self.unexpected.into_iter().take(3).collect();
        let seen = if ok {
            format!("{calls} calls, all as expected")
        } else {
            format!("{calls} calls; {}", first.join(", "))
        };
        Attack { expected: expected.to_owned(), seen, ok }
    }
}

pub(super) async fn over_the_limit(address: SocketAddr) -> anyhow::Result<Attack> {
    let message = framed(false, &vec![0; TOO_LARGE])?;
    let mut ends = Ends::default();
    for method in METHODS.iter().cycle().take(METHODS.len() * TIMES) {
        ends.add(method, &call(address, method, &[], message.clone()).await?, &RESOURCE_EXHAUSTED);
    }
    Ok(ends.attack("9 MiB: RESOURCE_EXHAUSTED"))
}

pub(super) async fn decompression(address: SocketAddr) -> anyhow::Result<Attack> {
    let mut ends = Ends::default();
    for encoding in ["gzip", "zstd"] {
        for size in BOMBS.into_iter().chain([NO_BOMB]) {
            let bomb = tokio::task::spawn_blocking(move || bomb(encoding, size)).await??;
            let message = framed(true, &bomb)?;
            let expected = if size == NO_BOMB { INVALID_ARGUMENT } else { RESOURCE_EXHAUSTED };
            for method in METHODS.iter().cycle().take(METHODS.len() * TIMES) {
                let ended =
                    call(address, method, &[("grpc-encoding", encoding)], message.clone()).await?;
                ends.add(&format!("{method} of {size} bytes of {encoding}"), &ended, &expected);
            }
        }
    }
    Ok(ends.attack("8 MiB to 1 GiB: RESOURCE_EXHAUSTED; 1 MiB of nothing: INVALID_ARGUMENT"))
}

/// Compresses `size` zeros. Uses the largest window that zstd decoders accept, because they might
/// allocate it.
fn bomb(encoding: &str, size: u64) -> anyhow::Result<Vec<u8>> {
    let mut zeros = std::io::repeat(0).take(size);
    if encoding == "gzip" {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::copy(&mut zeros, &mut encoder)?;
        return Ok(encoder.finish()?);
    }
    let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
    encoder.window_log(27)?;
    std::io::copy(&mut zeros, &mut encoder)?;
    encoder.flush()?;
    Ok(encoder.finish()?)
}
