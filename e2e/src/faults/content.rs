//! What a batch holds: a function of its device and number, so that a resend means the same data and SQL can tell from
//! a stored value which batch it came with.

use shared::proto::v1::{Batch, Point, Producer, SeriesPoints};

use crate::{point, series};

/// Most points of a batch. A value is the batch's number times this, plus the point's place in the batch: an integer, so
/// that sums are exact.
pub(super) const MAX_POINTS: u64 = 16_384;

/// The epoch of every producer here.
const EPOCH: u64 = 1;

/// What one device sends.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// Also the producer's id, where it numbers its batches.
    pub(super) device_id: String,
    pub(super) numbered: bool,
    /// Time of the first point.
    pub(super) began: i64,
    /// Batches have from a half of this to this many points.
    pub(super) batch_points: u64,
}

impl Content {
    /// Points of a batch; sizes vary, so that a sum of counts gives mix-ups away.
    pub(super) fn points(&self, number: u64) -> u64 {
        let least = self.batch_points.div_ceil(2);
        least + number * 7_919 % (self.batch_points - least + 1)
    }

    /// Sum of the values of a batch.
    pub(super) fn sum(&self, number: u64) -> u64 {
        let points = self.points(number);
        points * number * MAX_POINTS + points * (points - 1) / 2
    }

    /// The batch: numbered in series form, unnumbered in row form.
    pub(super) fn batch(&self, number: u64) -> Batch {
        let values = (0..self.points(number)).map(|place| number * MAX_POINTS + place);
        let times = values.clone().map(|value| self.began + value.cast_signed());
        if !self.numbered {
            let point = |(timestamp, value)| point(&self.device_id, timestamp, value as f64);
            return Batch {
                points: times.zip(values).map(point).collect::<Vec<Point>>(),
                ..Default::default()
            };
        }
        let column: SeriesPoints =
            series(&self.device_id, times.collect(), values.map(|value| value as f64).collect());
        let producer = Producer { producer_id: self.device_id.clone(), epoch: EPOCH };
        Batch {
            producer: Some(producer),
            sequence: number,
            series: vec![column],
            ..Default::default()
        }
    }
}
