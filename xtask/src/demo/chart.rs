//! Draws a line chart of a series for the terminal, with its unit and times on the axes.

use chrono::{DateTime, Utc};
use textplots::{Chart, LabelBuilder as _, LabelFormat, Plot as _, Shape};
use textplots::{TickDisplay, TickDisplayBuilder as _};

/// Width of the plot in dots. A character is two dots wide.
const WIDTH: u32 = 120;
/// Height of the plot in dots. A character is four dots high.
const HEIGHT: u32 = 32;
/// Width of the plot in characters: textplots draws one more column for the right border.
const COLUMNS: usize = WIDTH as usize / 2 + 1;
const DAY: i64 = 86_400_000_000;

/// Draws values over their times. The y axis runs between whole units, the x axis from the first to
/// the last time in UTC. Times are in microseconds since 1970. Returns "" if there are no points.
#[allow(clippy::cast_possible_truncation)] // A terminal shows less than single precision.
pub(super) fn draw(timestamps_us: &[i64], values: &[f64], unit: &'static str) -> String {
    let (Some(&first), Some(&last)) = (timestamps_us.first(), timestamps_us.last()) else {
        return String::new();
    };
    let hours = |micros: i64| (micros - first) as f32 / 3.6e9;
    let points: Vec<(f32, f32)> = timestamps_us
        .iter()
        .zip(values)
        .map(|(&micros, &value)| (hours(micros), value as f32))
        .collect();
    let bottom = values.iter().copied().fold(f64::INFINITY, f64::min).floor() as f32;
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() as f32;
    let right = hours(last).max(0.1);
    let lines = Shape::Lines(&points);
    let mut chart =
        Chart::new_with_y_range(WIDTH, HEIGHT, 0.0, right, bottom, top.max(bottom + 1.0));
    chart.borders();
    let chart = chart
        .x_label_format(LabelFormat::None)
        .y_label_format(LabelFormat::Custom(Box::new(move |value| format!("{value:.1} {unit}"))))
        .y_tick_display(TickDisplay::Sparse)
        .lineplot(&lines);
    chart.figures();
    let drawn = chart.to_string();
    format!("{}\n{}\n", drawn.trim_end_matches(['\n', ' ']), time_axis(first, last))
}

/// Returns the line of times below a plot: its start, its middle and its end.
fn time_axis(first: i64, last: i64) -> String {
    let format = if last - first < 2 * DAY { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d" };
    let label = |micros: i64| {
        DateTime::<Utc>::from_timestamp_micros(micros)
            .map(|time| time.format(format).to_string())
            .unwrap_or_default()
    };
    let start = label(first);
    let end = label(last);
    let gap = COLUMNS.saturating_sub(start.len() + end.len());
    format!("{start}{:^gap$}{end} UTC", label(first.midpoint(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn a_chart_has_its_unit_and_its_times_on_the_axes() {
        let drawn = draw(&[0, 3 * HOUR, 6 * HOUR], &[20.4, 24.9, 21.0], "°C");
        let lines: Vec<&str> = drawn.lines().collect();

        assert!(lines[0].ends_with(" 25.0 °C"), "{drawn}");
        assert!(lines[lines.len() - 2].ends_with(" 20.0 °C"), "{drawn}");
        let axis = "1970-01-01 00:00      1970-01-01 03:00       1970-01-01 06:00 UTC";
        assert_eq!(lines.last(), Some(&axis), "{drawn}");
    }

    #[test]
    fn several_days_are_labelled_by_date() {
        assert!(time_axis(0, 4 * DAY).ends_with("1970-01-05 UTC"));
        assert!(time_axis(0, 4 * DAY).contains(" 1970-01-03 "));
    }

    #[test]
    fn equal_values_are_drawn_too() {
        assert!(draw(&[0, HOUR], &[20.0, 20.0], "%").contains("21.0 %"));
    }

    #[test]
    fn no_points_draw_nothing() {
        assert_eq!(draw(&[], &[], "°C"), "");
    }
}
