//! Line charts as inline SVG. Colours come from the page's style, so that a chart follows light, dark and print.

use super::markup::{Markup, markup};

const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 46.0;
/// Beyond so many points, single ones are not marked.
const MARKED: usize = 40;

/// A named line.
pub(super) struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// What an axis says.
pub(super) struct Axes {
    pub x: &'static str,
    pub y: &'static str,
    /// Whether y begins at zero: for amounts, of which a part should look like one.
    pub from_zero: bool,
    /// A value of y as text.
    pub form: fn(f64) -> String,
}

/// A chart of lines over whole x from the first to the last, with its legend; nothing without a point.
pub(super) fn lines(title: &str, axes: &Axes, series: &[Series]) -> Markup {
    let points = || series.iter().flat_map(|s| &s.points).filter(|p| p.1.is_finite());
    let (Some(x), Some(y)) = (extent(points().map(|p| p.0)), extent(points().map(|p| p.1))) else {
        return Markup::default();
    };
    let y = (if axes.from_zero { y.0.min(0.0) } else { y.0 }, y.1);
    let (x_ticks, y_ticks) = (whole_ticks(x), ticks(y));
    let (low, high) = (y_ticks[0].min(y.0), y_ticks[y_ticks.len() - 1].max(y.1));
    let place = |(px, py): (f64, f64)| {
        let across = if x.1 > x.0 { (px - x.0) / (x.1 - x.0) } else { 0.5 };
        let up = if high > low { (py - low) / (high - low) } else { 0.5 };
        (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )
    };
    let grid: Vec<Markup> = y_ticks
        .iter()
        .map(|&tick| y_tick(place((x.0, tick)).1, (axes.form)(tick)))
        .collect();
    let below: Vec<Markup> = x_ticks.iter().map(|&tick| x_tick(place((tick, low)).0, tick)).collect();
    let drawn: Vec<Markup> = series
        .iter()
        .enumerate()
        .map(|(index, s)| line(index, s, axes, place))
        .collect();
    markup!(
        r#"<figure><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="label" x="{}" y="{}" text-anchor="middle">{}</text><text class="label" transform="translate(14 {}) rotate(-90)" text-anchor="middle">{}</text>{}</svg>{}</figure>"#,
        title,
        WIDTH,
        HEIGHT,
        format!("{title} over {}", axes.x),
        grid,
        below,
        LEFT,
        WIDTH - RIGHT,
        HEIGHT - BOTTOM,
        HEIGHT - BOTTOM,
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        axes.x,
        (TOP + HEIGHT - BOTTOM) / 2.0,
        axes.y,
        drawn,
        legend(series)
    )
}

/// A line across the chart at height `at`, and what it stands for.
fn y_tick(at: f64, text: String) -> Markup {
    markup!(
        r#"<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick" x="{}" y="{}" text-anchor="end">{}</text>"#,
        LEFT,
        WIDTH - RIGHT,
        at,
        at,
        LEFT - 8.0,
        at + 4.0,
        text
    )
}

/// A number below the chart.
fn x_tick(at: f64, tick: f64) -> Markup {
    markup!(
        r#"<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>"#,
        at,
        HEIGHT - BOTTOM + 18.0,
        format!("{tick:.0}")
    )
}

fn line(index: usize, series: &Series, axes: &Axes, place: impl Fn((f64, f64)) -> (f64, f64)) -> Markup {
    let finite = || series.points.iter().filter(|p| p.1.is_finite());
    let path: Vec<String> = finite().map(|&p| place(p)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dots: Vec<Markup> = finite()
        .filter(|_| series.points.len() <= MARKED)
        .map(|&p| {
            let (x, y) = place(p);
            let text = format!("{}, {} {:.0}: {}", series.name, axes.x, p.0, (axes.form)(p.1));
            markup!(r#"<circle cx="{}" cy="{}" r="3"><title>{}</title></circle>"#, x, y, text)
        })
        .collect();
    markup!(
        r#"<g class="series s{}"><polyline points="{}"/>{}</g>"#,
        index % 6,
        path.join(" "),
        dots
    )
}

/// Which line is which; a single line is named by the chart's title.
fn legend(series: &[Series]) -> Markup {
    if series.len() < 2 {
        return Markup::default();
    }
    let entry = |(index, s): (usize, &Series)| {
        markup!(
            r#"<span class="series s{}"><svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true"><polyline points="0,4 28,4"/></svg>{}</span>"#,
            index % 6,
            s.name
        )
    };
    markup!(
        r#"<div class="legend">{}</div>"#,
        series.iter().enumerate().map(entry).collect::<Vec<_>>()
    )
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |known, v| {
        Some(known.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v))))
    })
}

/// About five round numbers that enclose the range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let spread = if high > low { high - low } else { high.abs().max(1.0) * 0.1 };
    let rough = spread / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|s| s * power)
        .find(|s| *s >= rough * 0.999);
    let step = step.unwrap_or(rough);
    let first = (low / step).floor();
    let last = (high / step).ceil().max(first + 1.0);
    (0..=((last - first) as usize).min(12))
        .map(|i| (first + i as f64) * step)
        .collect()
}

/// Whole numbers of the range, at most eight.
fn whole_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let steps = [
        1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    ];
    let step = steps
        .into_iter()
        .find(|s| (high - low) / s <= 9.0)
        .unwrap_or((high - low).max(1.0));
    let mut ticks: Vec<f64> = (0..10)
        .map(|i| ((low / step).ceil() + f64::from(i)) * step)
        .filter(|t| *t <= high)
        .collect();
    if ticks.is_empty() {
        ticks.push(low);
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_range() {
        assert_eq!(ticks((0.26, 0.91)), [0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(whole_ticks((1.0, 5.0)), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(whole_ticks((1.0, 100.0)), [20.0, 40.0, 60.0, 80.0, 100.0]);
        for (low, high) in [(0.0, 0.0), (3.0, 3.0), (-1.0, 1.0), (1e-9, 2e-9), (5.0, 1e12)] {
            let ticks = ticks((low, high));
            assert!(ticks.len() >= 2 && ticks.len() <= 13, "{ticks:?}");
            assert!(ticks[0] <= low && ticks[ticks.len() - 1] >= high, "{ticks:?}");
        }
    }

    #[test]
    fn values_that_are_no_numbers_and_no_points_at_all_draw_nothing_odd() {
        let axes = Axes {
            x: "epoch",
            y: "loss",
            from_zero: false,
            form: |v| format!("{v:.2}"),
        };
        let series = |points| {
            [Series {
                name: "<b>".into(),
                points,
            }]
        };
        assert!(lines("loss", &axes, &series(vec![])).0.is_empty());
        let Markup(chart) = lines("loss", &axes, &series(vec![(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.25)]));
        assert!(!chart.contains("NaN") && !chart.contains("<b>"), "{chart}");
        assert_eq!(chart.matches("<circle").count(), 2);
    }
}
