//! Decides which raw points to read next. Pure.

use std::ops::Range;

use crate::columns::PointColumns;

/// The rows of the first page: few, so that it arrives soon.
const FIRST_PAGE_ROWS: usize = 8_192;
/// The maximum rows of later pages, 2 MiB. Each page is planned anew, so larger pages read faster.
const PAGE_ROWS: usize = 131_072;
/// The maximum number of points of one series and timestamp, which are always in one page: 64 MiB.
pub(super) const MAX_POINTS_PER_TIMESTAMP: usize = 4_194_304;
/// The maximum number of series in one statement.
const GROUP_SERIES: usize = 1_000;
/// The number of series in the first statement, before their numbers of points are known.
const FIRST_GROUP_SERIES: usize = 16;

/// A cursor that goes through a list of series, page by page. A page ends between two different
/// timestamps, so that the next page can begin at a timestamp.
pub(super) struct Cursor {
    /// The number of series in the list.
    count: usize,
    /// The position of the next series to read.
    position: usize,
    /// The timestamp from which to continue that series, if it was begun.
    resume: Option<i64>,
    rows: usize,
    /// The number of series in the next statement.
    group: usize,
}

/// The rows that one statement reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The positions of the series.
    pub(super) series: Range<usize>,
    /// The timestamp from which to continue. Set only for a single series that was begun.
    pub(super) resume: Option<i64>,
    pub(super) limit: usize,
}

impl Cursor {
    pub(super) fn new(count: usize) -> Self {
        Self { count, position: 0, resume: None, rows: FIRST_PAGE_ROWS, group: FIRST_GROUP_SERIES }
    }

    /// Returns the next page, or `None` at the end.
    pub(super) fn page(&self) -> Option<Page> {
        let last = match self.resume {
            Some(_) => self.position + 1,
            None => self.count.min(self.position + self.group),
        };
        let series = self.position..last;
        (!series.is_empty()).then_some(Page { series, resume: self.resume, limit: self.rows })
    }

    /// Advances past a page that was read. Removes the last timestamp of a full page, because more
    /// points of it may follow. Returns the position of the series that continues on the next page,
    /// if any.
    pub(super) fn advance(&mut self, page: &Page, points: &mut PointColumns) -> Option<usize> {
        let full = points.len() == page.limit;
        let series = page.series.len();
        let Some((position, timestamp)) = full.then(|| points.cut_last_timestamp()).flatten()
        else {
            if page.resume.is_none() {
                let mean = points.len() / series.max(1);
                self.group = (self.rows / mean.max(1)).clamp(1, GROUP_SERIES);
            }
            self.position = page.series.end;
            self.resume = None;
            return None;
        };
        let nothing_left = points.is_empty() && page.resume == Some(timestamp);
        self.rows = if nothing_left { page.limit * 2 } else { PAGE_ROWS.min(page.limit * 4) };
        self.group = position.max(1);
        self.position = page.series.start + position;
        self.resume = Some(timestamp);
        Some(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rows: &[(usize, i64)]) -> PointColumns {
        let mut columns = PointColumns::default();
        assert!(rows.iter().all(|&(position, timestamp)| columns.push(position, timestamp, 0.0)));
        columns
    }

    fn cursor(count: usize, rows: usize) -> Cursor {
        Cursor { rows, ..Cursor::new(count) }
    }

    #[test]
    fn points_of_one_timestamp_are_never_split_between_pages() {
        let mut cursor = cursor(1, 4);
        let page = cursor.page().unwrap();
        let mut read = points(&[(0, 1), (0, 2), (0, 3), (0, 3)]);
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
            "a page of a single timestamp is read again with a larger limit"
        );
        let mut read = points(&[(0, 3); 20]);
        assert_eq!(cursor.advance(&page, &mut read), None);
        assert_eq!((read.len(), cursor.page()), (20, None));
    }

    #[test]
    fn a_series_that_a_page_cuts_is_continued_alone_before_the_rest() {
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
    fn a_page_whose_last_series_has_one_timestamp_continues_with_that_series() {
        let mut cursor = cursor(2, 3);
        let page = cursor.page().unwrap();
        let mut read = points(&[(0, 7), (1, 1), (1, 1)]);
        assert_eq!(cursor.advance(&page, &mut read), Some(1));
        assert_eq!(read, points(&[(0, 7)]));
        assert_eq!(cursor.page().unwrap(), Page { series: 1..2, resume: Some(1), limit: 12 });
    }
}
