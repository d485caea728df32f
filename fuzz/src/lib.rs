//! What the fuzz targets share.

use std::path::Path;

/// Names the folder that a target writes its first inputs to.
pub const SEEDS: &str = "TIDEGAUGE_FUZZ_SEEDS";

/// Writes the first inputs of a target to the folder that `SEEDS` names, before the target reads it.
///
/// # Panics
/// The folder cannot be written.
pub fn plant(seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os(SEEDS) else { return };
    for (index, seed) in seeds.iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{index}"));
        if let Err(error) = std::fs::write(&path, seed) {
            panic!("cannot write {}: {error}", path.display());
        }
    }
}
