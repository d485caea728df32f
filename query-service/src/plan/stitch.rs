//! Divides an interval into parts if retention has dropped the beginning of the chosen granularity.
//! Pure.

use shared::granularity::Granularity;

use super::{Grid, Retention, Segment};

/// A rollup that can answer a part.
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

/// Returns the parts of [start, end), earliest first. The newest part is read from `source` in
/// buckets of `width`. Each older part is read from the finest coarser rollup that retention still
/// keeps. If no rollup reaches back to the start, the oldest part belongs to the one that reaches
/// furthest. Neighbouring parts meet on an edge of both grids.
pub(super) fn stitch(
    source: Granularity,
    width: i64,
    (start, end): (i64, i64),
    retention: &Retention,
) -> Vec<Segment> {
    let mut parts: Vec<(Layer, i64)> = Vec::new();
    for layer in layers(source, width, start, retention).into_iter().rev() {
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

/// Returns the chosen rollup, and then coarser ones that each reach further back, until one reaches
/// the start.
fn layers(source: Granularity, width: i64, start: i64, retention: &Retention) -> Vec<Layer> {
    let mut layers = vec![Layer { source, width, kept_from: retention.kept_from(source) }];
    for coarser in Granularity::ROLLUPS.into_iter().filter(|&rollup| rollup > source) {
        let (Some(last), Some(unit)) = (layers.last(), coarser.bucket_micros()) else { break };
        let kept_from = retention.kept_from(coarser);
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

/// Returns where a finer layer takes over from the older parts: the first edge of the newest older
/// part from which the layer is complete. Removes a part that would be left without a bucket.
/// Returns `None` if there is no older part.
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
    let mut a = one;
    let mut b = other;
    while b != 0 {
        (a, b) = (b, a % b);
    }
    one / a * other
}
