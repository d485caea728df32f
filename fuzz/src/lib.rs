//! Seeds and the structure-aware mutator that the fuzz targets share.

mod wire;

use std::path::Path;

pub use wire::Fields;

/// Name of the variable with the folder that a target writes its seeds to.
pub const SEEDS: &str = "TIDEGAUGE_FUZZ_SEEDS";

/// Writes the seeds of a target to the folder in `SEEDS`, before libFuzzer reads it. Does nothing
/// if the variable is not set.
///
/// # Panics
/// Panics if the folder cannot be written.
pub fn plant(seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os(SEEDS) else { return };
    for (index, seed) in seeds.iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{index}"));
        if let Err(error) = std::fs::write(&path, seed) {
            panic!("cannot write {}: {error}", path.display());
        }
    }
}

/// Mutates the message after a prefix, and returns the new length of the input.
///
/// Most mutations work field by field. One in eight, or any input that is not a message, is left to
/// `bytes`: libFuzzer's own mutator, called with the data, its length and the maximum length.
pub fn mutate(
    input: &mut [u8],
    size: usize,
    most: usize,
    (prefix, seed): (usize, u32),
    bytes: impl Fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let message =
        input.get(prefix..size).filter(|_| !seed.is_multiple_of(8)).and_then(Fields::parse);
    let Some(mut fields) = message else { return bytes(input, size, most) };
    fields.change(seed, |value| {
        let length = value.len();
        value.resize(length + 16, 0);
        let changed = bytes(value, length, length + 16);
        value.truncate(changed);
    });
    let encoded = fields.encode();
    match input.get_mut(prefix..prefix + encoded.len()) {
        Some(room) if prefix + encoded.len() <= most => room.copy_from_slice(&encoded),
        _ => return bytes(input, size, most),
    }
    prefix + encoded.len()
}
