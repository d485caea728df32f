//! Which raw points to read next. Pure.

use std::ops::Range;

use crate::columns::Columns;

/// Rows of the first page: soon there.
const FIRST_PAGE_ROWS: usize = 8_192;
/// Rows of later pages, 2 MiB each: as each page costs a plan, larger ones read faster.
const PAGE_ROWS: usize = 131_072;
/// Most points of one timestamp, which are never torn apart: 64 MiB.
pub(super) const MAX_OF_ONE_TIMESTAMP: usize = 4_194_304;
/// Most series in one statement.
const GROUP_SERIES: usize = 1_000;
/// Series in the first statement, before anything is known of how many points they have.
const FIRST_GROUP_SERIES: usize = 16;

/// Goes through a list of series, page by page. A page ends between two timestamps, never within one, so that the next
/// begins at a time.
pub(super) struct Cursor {
    /// Of the series list.
    count: usize,
    /// The series to go on with.
    position: usize,
    /// From where that series is to be read, where it has been begun.
    resume: Option<i64>,
    rows: usize,
    /// How many series go into one statement.
    group: usize,
}

/// What one statement reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Positions of the series; the list goes on behind them.
    pub(super) series: Range<usize>,
    /// Where to begin, for a series that is begun already and stands alone.
    pub(super) resume: Option<i64>,
    pub(super) limit: usize,
}

impl Cursor {
    pub(super) fn new(count: usize) -> Self {
        Self { count, position: 0, resume: None, rows: FIRST_PAGE_ROWS, group: FIRST_GROUP_SERIES }
    }

    /// The next page; none at the end.
    pub(super) fn page(&self) -> Option<Page> {
        let last = match self.resume {
            Some(_) => self.position + 1,
            None => self.count.min(self.position + self.group),
        };
        let series = self.position..last;
        (!series.is_empty()).then_some(Page { series, resume: self.resume, limit: self.rows })
    }

    /// Moves on behind a page that was read. A full page is cut at its last timestamp, whose points may go on beyond it. Says
    /// which series has more points than the page holds, if any.
    pub(super) fn advance(&mut self, page: &Page, points: &mut Columns) -> Option<usize> {
        let full = points.len() == page.limit;
        let series = page.series.len();
        let Some((position, timestamp)) = full.then(|| points.cut_last_timestamp()).flatten()
        else {
            if page.resume.is_none() {
                let mean = points.len() / series.max(1);
                self.group = (self.rows / mean.max(1)).clamp(1, GROUP_SERIES);
            }
            (self.position, self.resume) = (page.series.end, None);
            return None;
        };
        let nothing_left = points.is_empty() && page.resume == Some(timestamp);
        self.rows = if nothing_left { page.limit * 2 } else { PAGE_ROWS.min(page.limit * 4) };
        self.group = position.max(1);
        (self.position, self.resume) = (page.series.start + position, Some(timestamp));
        Some(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rows: &[(usize, i64)]) -> Columns {
        let mut columns = Columns::default();
        assert!(rows.iter().all(|&(position, timestamp)| columns.push(position, timestamp, 0.0)));
        columns
    }

    fn cursor(count: usize, rows: usize) -> Cursor {
        Cursor { rows, ..Cursor::new(count) }
    }

    #[test]
    fn points_of_one_timestamp_are_never_torn_apart_by_a_page() {
        let mut cursor = cursor(1, 4);
        let (page, mut read) = (cursor.page().unwrap(), points(&[(0, 1), (0, 2), (0, 3), (0, 3)]));
        assert_eq!(cursor.advance(&page, &mut read), Some(0));
        assert_eq!(read, points(&[(0, 1), (0, 2)]));
        let page = cursor.page().unwrap();
        assert_eq!(page, Page { series: 0..1, resume: Some(3), limit: 16 });
        let mut read = points(&[(0, 3); 16]);
        assert_eq!(cursor.advance(&page, &mut read), Some(0));
        assert!(read.is_empty());
        let page = cursor.page().unwrap();
        assert_eq!(
            page,
            Page { series: 0..1, resume: Some(3), limit: 32 },
            "one timestamp alone is read again, larger"
        );
        let mut read = points(&[(0, 3); 20]);
        assert_eq!(cursor.advance(&page, &mut read), None);
        assert_eq!((read.len(), cursor.page()), (20, None));
    }

    #[test]
    fn a_series_that_a_page_cuts_is_read_on_alone_and_then_the_rest() {
        let mut cursor = cursor(5, 4);
        let page = cursor.page().unwrap();
        assert_eq!(page, Page { series: 0..5, resume: None, limit: 4 });
        let mut read = points(&[(0, 7), (2, 1), (2, 2), (2, 2)]);
        assert_eq!(cursor.advance(&page, &mut read), Some(2));
        assert_eq!(read, points(&[(0, 7), (2, 1)]));
        let page = cursor.page().unwrap();
        assert_eq!(page, Page { series: 2..3, resume: Some(2), limit: 16 });
        assert_eq!(cursor.advance(&page, &mut points(&[(0, 2), (0, 2)])), None);
        assert_eq!(cursor.page().unwrap().series, 3..5);
    }

    #[test]
    fn a_page_whose_last_series_has_one_timestamp_goes_on_with_that_series() {
        let mut cursor = cursor(2, 3);
        let page = cursor.page().unwrap();
        let mut read = points(&[(0, 7), (1, 1), (1, 1)]);
        assert_eq!(cursor.advance(&page, &mut read), Some(1));
        assert_eq!(read, points(&[(0, 7)]));
        assert_eq!(cursor.page().unwrap(), Page { series: 1..2, resume: Some(1), limit: 12 });
    }
}
