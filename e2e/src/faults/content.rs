//! Contents of batches. They are a function of the device and the batch number, so that a resend
//! carries the same data. SQL can tell from a stored value which batch brought it.

use shared::proto::v1::{Batch, Point, Producer, SeriesPoints};

use crate::{point, series};

/// Limit on the points of a batch. A value is the batch number times this limit, plus the index of
/// the point in the batch. Values are integers, so that sums are exact.
pub(super) const MAX_POINTS: u64 = 16_384;

/// Epoch of all producers in this module.
const EPOCH: u64 = 1;

/// The batches of one device.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// Device id. Also the producer id, if the batches are numbered.
    pub(super) device_id: String,
    pub(super) numbered: bool,
    /// Time of the first point, in microseconds.
    pub(super) began: i64,
    /// Upper limit on the points of a batch. Batches have at least half of it.
    pub(super) batch_points: u64,
}

impl Content {
    /// Returns the number of points in a batch. Sizes vary, so that a wrong total reveals mixed-up
    /// batches.
    pub(super) fn points(&self, number: u64) -> u64 {
        let least = self.batch_points.div_ceil(2);
        least + number * 7_919 % (self.batch_points - least + 1)
    }

    /// Returns the sum of the values in a batch.
    pub(super) fn sum(&self, number: u64) -> u64 {
        let points = self.points(number);
        points * number * MAX_POINTS + points * (points - 1) / 2
    }

    /// Builds a batch. Numbered batches use series form, unnumbered ones row form.
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
