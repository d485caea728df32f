//! An interval in parts, where retention has dropped the beginning of what was chosen. Pure.

use shared::granularity::Granularity;

use super::{Grid, Kept, Segment};

/// A rollup that could answer a part.
struct Layer {
    source: Granularity,
    width: i64,
    kept_from: i64,
}

impl Layer {
    fn grid(&self) -> Grid {
        Grid::Equal(self.width)
    }
}

/// The parts of [start, end): the newest in buckets of `width` from `source`, each older one, of which that is dropped,
/// from the finest coarser rollup that still holds it. What nobody holds goes to the one that reaches back furthest. Parts
/// meet on edges of both.
pub(super) fn stitch(
    source: Granularity,
    width: i64,
    (start, end): (i64, i64),
    kept: &Kept,
) -> Vec<Segment> {
    let mut parts: Vec<(Layer, i64)> = Vec::new();
    for layer in layers(source, width, start, kept).into_iter().rev() {
        let Some(begin) = begin_after(&mut parts, &layer) else {
            let begin = layer.grid().floor(start);
            parts.push((layer, begin));
            continue;
        };
        if begin < layer.grid().ceil(end) {
            parts.push((layer, begin));
        }
    }
    let last_end = parts.last().map_or(end, |(layer, _)| layer.grid().ceil(end));
    let ends: Vec<i64> = parts.iter().skip(1).map(|&(_, begin)| begin).chain([last_end]).collect();
    let segment = |((layer, start), end): ((Layer, i64), i64)| Segment {
        source: layer.source,
        grid: layer.grid(),
        start,
        end,
    };
    parts.into_iter().zip(ends).map(segment).collect()
}

/// The chosen rollup and coarser ones, each of which reaches further back, until one reaches the start.
fn layers(source: Granularity, width: i64, start: i64, kept: &Kept) -> Vec<Layer> {
    let mut layers = vec![Layer { source, width, kept_from: kept.from(source) }];
    for coarser in Granularity::ROLLUPS.into_iter().filter(|&rollup| rollup > source) {
        let (Some(last), Some(unit)) = (layers.last(), coarser.bucket_micros()) else { break };
        let kept_from = kept.from(coarser);
        if last.kept_from <= last.grid().floor(start) {
            break;
        }
        if kept_from < last.kept_from {
            let width = least_common_multiple(last.width, unit);
            layers.push(Layer { source: coarser, width, kept_from });
        }
    }
    layers
}

/// Where a finer layer takes over from the older parts: the first edge of the newest of them from which the layer is
/// whole. A part that would be left without a bucket is given up. None where there is no older part.
fn begin_after(parts: &mut Vec<(Layer, i64)>, layer: &Layer) -> Option<i64> {
    loop {
        let (older, older_begin) = parts.last()?;
        let begin = older.grid().ceil(layer.kept_from);
        if begin > *older_begin || parts.len() == 1 {
            return Some(begin.max(*older_begin));
        }
        parts.pop();
    }
}

fn least_common_multiple(one: i64, other: i64) -> i64 {
    let (mut a, mut b) = (one, other);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    one / a * other
}
