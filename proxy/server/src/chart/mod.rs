//! Pictures over time, as SVG text: the same for the report and for the dashboard.
//!
//! Colours are classes, not values: the page that holds a picture has [`STYLE`], and with it both the
//! light and the dark of its reader.

mod moment;

pub(crate) use moment::{Bin, Moment, bins, done_in};

use crate::explain::words::percent;
use serinus_models::Timestamp;
use std::fmt::Write;

/// What the classes of the pictures look like.
pub(crate) const STYLE: &str = include_str!("chart.css");

/// How wide a picture is that has a page to itself, and one of two beside each other.
pub(crate) const WIDE: f64 = 960.0;
pub(crate) const HALF: f64 = 560.0;
/// Where the plot lies within the picture.
const LEFT: f64 = 64.0;
/// From the plot to the right edge.
const MARGIN: f64 = 20.0;
const TOP: f64 = 34.0;
/// Height of a row of names above the plot.
const ROW: f64 = 15.0;
/// Below the plot: the times.
const FOOT: f64 = 26.0;

/// How values become heights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    /// From zero to this.
    Linear(f64),
    /// Between two values above zero, by orders of magnitude.
    Logarithmic(f64, f64),
}

impl Scale {
    /// 0 at the foot, 1 at the top.
    fn share(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear(most) => value / most,
            Scale::Logarithmic(least, most) => (value / least).ln() / (most / least).ln(),
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }
}

/// One line. Where there is no value it is interrupted.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// What the legend says; empty: it is not in it.
    pub(crate) name: &'static str,
    /// Its class: `stable`, `canary`, `stable faint`, `canary faint`, `score`, `forecast`, `weight`.
    pub(crate) class: &'static str,
    pub(crate) points: Vec<(Timestamp, Option<f64>)>,
    /// Whether a value holds until the next one.
    pub(crate) steps: bool,
}

/// One picture.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// [`WIDE`] or [`HALF`].
    pub(crate) width: f64,
    /// Height of the plot.
    pub(crate) height: f64,
    pub(crate) scale: Scale,
    /// Values that are marked on the axis, with their names.
    pub(crate) ticks: Vec<(f64, String)>,
    /// Values that matter: lines across, with their names.
    pub(crate) limits: Vec<(f64, String)>,
    pub(crate) series: Vec<Series>,
}

/// Something that happened: a line from top to foot of every picture.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) at: Timestamp,
    pub(crate) name: String,
    /// `bad`, `warn`, `good` or `soft`.
    pub(crate) class: &'static str,
}

impl Chart {
    /// The picture of the time from `from` to `to`. `named` marks have their names above the plot.
    pub(crate) fn svg(
        &self,
        (from, to): (Timestamp, Timestamp),
        marks: &[Mark],
        named: bool,
    ) -> String {
        let (wide, right) = (self.width, self.width - MARGIN);
        let x = |at: Timestamp| {
            let share = (at.0 as f64 - from.0 as f64) / (to.0.saturating_sub(from.0)).max(1) as f64;
            LEFT + share.clamp(0.0, 1.0) * (right - LEFT)
        };
        let marks = placed(marks.iter().filter(|mark| from <= mark.at && mark.at <= to), wide, x);
        let rows = marks.iter().map(|mark| mark.row + 1).max().unwrap_or(0);
        let top = TOP + if named { ROW * rows as f64 } else { 0.0 };
        let bottom = top + self.height;
        let whole = bottom + FOOT;
        let y = |value: f64| bottom - self.scale.share(value) * self.height;
        let title = escaped(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {wide} {whole}\" role=\"img\" aria-label=\"{title}\">\
             <text class=\"title\" x=\"{LEFT}\" y=\"20\">{title}</text>"
        );
        self.legend(&mut svg);
        for (value, name) in &self.ticks {
            let y = y(*value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escaped(name)
            );
        }
        times(&mut svg, (wide / 96.0) as u64, (from, to), bottom, x);
        for Placed { x, names, class, row, flips } in &marks {
            // From its name down, so that one sees which line a name belongs to.
            let label = 38.0 + ROW * *row as f64;
            let begins = if named { label - 9.0 } else { top };
            let _ = write!(
                svg,
                "<line class=\"mark {class}\" x1=\"{x:.1}\" y1=\"{begins:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>"
            );
            if named {
                let (end, x) = if *flips { (" end", x - 5.0) } else { ("", x + 5.0) };
                let _ = write!(
                    svg,
                    "<text class=\"mark {class}{end}\" x=\"{x:.1}\" y=\"{label:.1}\">{}</text>",
                    escaped(names)
                );
            }
        }
        for series in &self.series {
            let _ =
                write!(svg, "<path class=\"line {}\" d=\"{}\"/>", series.class, path(series, x, y));
        }
        for (value, name) in &self.limits {
            let y = y(*value);
            let _ = write!(
                svg,
                "<line class=\"limit\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"limit end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                right - 4.0,
                y + 13.0,
                escaped(name)
            );
        }
        svg + "</svg>"
    }

    fn legend(&self, svg: &mut String) {
        // From the right: the title has the left.
        let wide = |name: &str| 30.0 + 7.0 * name.chars().count() as f64;
        let shown = || self.series.iter().filter(|series| !series.name.is_empty());
        let right = self.width - MARGIN;
        let mut at = right - shown().map(|series| wide(series.name)).sum::<f64>();
        for series in shown() {
            let _ = write!(
                svg,
                "<path class=\"line {}\" d=\"M{at:.1} 16h16\"/><text class=\"legend\" x=\"{:.1}\" y=\"20\">{}</text>",
                series.class,
                at + 21.0,
                series.name
            );
            at += wide(series.name);
        }
    }
}

/// A mark with its place.
struct Placed {
    x: f64,
    names: String,
    class: &'static str,
    row: usize,
    /// Whether its name is left of its line: near the right edge.
    flips: bool,
}

/// Marks at the same place become one; names that would cover each other go to rows of their own.
fn placed<'a>(
    marks: impl Iterator<Item = &'a Mark>,
    whole: f64,
    x: impl Fn(Timestamp) -> f64,
) -> Vec<Placed> {
    let mut all: Vec<Placed> = Vec::new();
    for mark in marks {
        let x = x(mark.at);
        match all.last_mut().filter(|last| (last.x - x).abs() < 2.0) {
            // What came of it says more than what it began with.
            Some(last) => {
                last.names = format!("{}, {}", last.names, mark.name);
                last.class = mark.class;
            }
            None => all.push(Placed {
                x,
                names: mark.name.clone(),
                class: mark.class,
                row: 0,
                flips: false,
            }),
        }
    }
    let mut free: Vec<f64> = Vec::new();
    for mark in &mut all {
        let wide = 6.6 * mark.names.chars().count() as f64 + 12.0;
        mark.flips = mark.x + wide > whole;
        let (begins, ends) =
            if mark.flips { (mark.x - wide, mark.x + 4.0) } else { (mark.x, mark.x + wide) };
        let row = free.iter().position(|free| *free <= begins).unwrap_or(free.len());
        if row == free.len() {
            free.push(ends);
        } else {
            free[row] = ends;
        }
        mark.row = row;
    }
    all
}

/// The times below the plot, at round distances.
fn times(
    svg: &mut String,
    most: u64,
    (from, to): (Timestamp, Timestamp),
    bottom: f64,
    x: impl Fn(Timestamp) -> f64,
) {
    const ROUND: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];
    let seconds = to.0.saturating_sub(from.0) / 1_000;
    let step = ROUND.into_iter().find(|step| seconds / step <= most).unwrap_or(seconds / most);
    let step = step.max(1) * 1_000;
    let first = from.0.div_ceil(step);
    for at in (first..).map(|number| Timestamp(number * step)).take_while(|at| *at <= to) {
        let x = x(at);
        let time = crate::wall_time::rfc3339(at);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>\
             <text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 4.0,
            bottom + 18.0,
            time.get(11..19).unwrap_or_default()
        );
    }
}

fn path(series: &Series, x: impl Fn(Timestamp) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut pen_is_down = false;
    for (at, value) in &series.points {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        let (x, y) = (x(*at), y(*value));
        let _ = match (pen_is_down, series.steps) {
            (false, _) => write!(path, "M{x:.1} {y:.1}"),
            (true, true) => write!(path, "H{x:.1}V{y:.1}"),
            (true, false) => write!(path, "L{x:.1} {y:.1}"),
        };
        // A lonely point is drawn, too.
        if !pen_is_down {
            path.push_str("h0.1");
        }
        pen_is_down = true;
    }
    path
}

/// Text that stays text in HTML and SVG.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Characters that XML has no place for.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// What the confidence and the forecast are held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    pub(crate) anomaly: f64,
    pub(crate) rollback: f64,
    pub(crate) resume: f64,
}

/// The pictures of a release: failures, latency, confidence, forecast, users.
pub(crate) fn release(
    moments: &[Moment],
    (from, to): (Timestamp, Timestamp),
    limits: Option<Limits>,
    marks: &[Mark],
    width: f64,
) -> [String; 5] {
    let bins = bins(moments, (from, to));
    let line = |name, class, of: fn(&Bin) -> Option<f64>| Series {
        name,
        class,
        points: bins.iter().map(|bin| (bin.at, of(bin))).collect(),
        steps: false,
    };
    let [failures, latency, score, forecast, users] = [
        failures(vec![
            line("stable", "stable", |bin| bin.stable.failed()),
            line("canary", "canary", |bin| bin.canary.failed()),
        ]),
        latency(vec![
            line("", "stable faint", |bin| bin.stable.quantile_ms(0.5)),
            line("stable", "stable", |bin| bin.stable.quantile_ms(0.95)),
            line("", "canary faint", |bin| bin.canary.quantile_ms(0.5)),
            line("canary", "canary", |bin| bin.canary.quantile_ms(0.95)),
        ]),
        score(line("confidence", "score", |bin| bin.score.map(doubt)), limits),
        forecast(line("forecast", "forecast", |bin| bin.forecast.map(|p| 100.0 * p)), limits),
        users(Series { steps: true, ..line("users", "weight", |bin| Some(bin.weight)) }),
    ];
    let svg = |chart: Chart, named| Chart { width, ..chart }.svg((from, to), marks, named);
    // One picture names what happened for all that are below it.
    let others = [latency, score, forecast, users].map(|chart| svg(chart, false));
    let [latency, score, forecast, users] = others;
    [svg(failures, true), latency, score, forecast, users]
}

fn most(series: &[Series]) -> f64 {
    let points = series.iter().flat_map(|series| &series.points);
    points.filter_map(|(_, value)| *value).fold(0.0, f64::max)
}

fn failures(series: Vec<Series>) -> Chart {
    let most = most(&series);
    let top = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    let top = top.into_iter().find(|top| *top >= most * 1.05).unwrap_or(100.0);
    let ticks = [0.0, 0.5, 1.0].map(|share| (share * top, format!("{}%", share * top)));
    Chart {
        title: "Requests and probes that failed".to_owned(),
        width: WIDE,
        height: 150.0,
        scale: Scale::Linear(top),
        ticks: ticks.to_vec(),
        limits: Vec::new(),
        series,
    }
}

fn latency(series: Vec<Series>) -> Chart {
    let points = series.iter().flat_map(|series| &series.points);
    let values: Vec<f64> = points.filter_map(|(_, value)| *value).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min).clamp(0.01, 1e4);
    let (low, high) =
        (round_at(least, f64::floor), round_at(most(&series).max(least * 2.0), f64::ceil));
    let name = |ms: f64| if ms < 1_000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1e3) };
    let mut ticks = vec![low];
    while let Some(next) = ticks.last().map(|last| round_at(last * 1.5, f64::ceil)) {
        if next > high || ticks.len() > 24 {
            break;
        }
        ticks.push(next);
    }
    // The powers of ten where all would be too many.
    if ticks.len() > 6 {
        ticks.retain(|tick| tick.log10().fract().abs() < 1e-9 || *tick == low || *tick == high);
    }
    Chart {
        title: "How long they took: p95, and dashed p50".to_owned(),
        width: WIDE,
        height: 150.0,
        scale: Scale::Logarithmic(low, high),
        ticks: ticks.into_iter().map(|value| (value, name(value))).collect(),
        limits: Vec::new(),
        series,
    }
}

/// The next of 1, 2, 5, 10, 20, ... below (`f64::floor`) or above (`f64::ceil`).
fn round_at(value: f64, towards: fn(f64) -> f64) -> f64 {
    const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
    let decade = 10f64.powf(value.log10().floor());
    let place = value / decade;
    let is_up = towards(0.5) > 0.0;
    let step = if is_up {
        STEPS.into_iter().find(|step| *step >= place - 1e-9).unwrap_or(10.0)
    } else {
        STEPS.into_iter().rfind(|step| *step <= place + 1e-9).unwrap_or(1.0)
    };
    (step * decade * 1e6).round() / 1e6
}

/// What a confidence leaves to chance, so that 99% and 99.9% are as far apart as 90% and 99%:
/// 10 for 90%, 1000 for 99.9%.
fn doubt(score: f64) -> f64 {
    1.0 / (1.0 - score).max(1e-6)
}

fn score(series: Series, limits: Option<Limits>) -> Chart {
    let top = (most(std::slice::from_ref(&series)) * 1.5).clamp(1e4, 1e6);
    let ticks = [
        (1.0, "0"),
        (10.0, "90%"),
        (100.0, "99%"),
        (1e3, "99.9%"),
        (1e4, "99.99%"),
        (1e5, "99.999%"),
        (1e6, "99.9999%"),
    ];
    Chart {
        title: "Confidence that the canary is worse".to_owned(),
        width: WIDE,
        height: 130.0,
        scale: Scale::Logarithmic(1.0, top),
        ticks: ticks
            .into_iter()
            .filter(|(value, _)| *value <= top)
            .map(|(value, name)| (value, name.to_owned()))
            .collect(),
        limits: limits
            .map(|limits| {
                (
                    doubt(limits.anomaly),
                    format!("users are protected from {} on", percent(limits.anomaly)),
                )
            })
            .into_iter()
            .collect(),
        series: vec![series],
    }
}

fn forecast(series: Series, limits: Option<Limits>) -> Chart {
    let lines = limits.map(|limits| {
        [(limits.rollback, "rolled back above"), (limits.resume, "users return below")]
            .map(|(at, name)| (100.0 * at, format!("{name} {}", percent(at))))
    });
    Chart {
        title: "Forecast that the failure lasts".to_owned(),
        width: WIDE,
        height: 130.0,
        scale: Scale::Linear(100.0),
        ticks: [0.0, 50.0, 100.0].map(|at| (at, format!("{at}%"))).to_vec(),
        limits: lines.into_iter().flatten().collect(),
        series: vec![series],
    }
}

fn users(series: Series) -> Chart {
    let most = most(std::slice::from_ref(&series));
    let top = [1.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    let top = top.into_iter().find(|top| *top >= most).unwrap_or(100.0);
    Chart {
        title: "Users on the canary".to_owned(),
        width: WIDE,
        height: 60.0,
        scale: Scale::Linear(top),
        ticks: [0.0, top].map(|at| (at, format!("{at}%"))).to_vec(),
        limits: Vec::new(),
        series: vec![series],
    }
}

#[cfg(test)]
mod tests;
