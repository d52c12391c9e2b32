//! The frontier as a picture: what bad releases cost users against what is done to good ones.
//!
//! Two panels, for the two ways in which a release can be good: without any fault, and with one that
//! passes. Down and to the left is better. Harm is on a logarithmic axis; shares too, with a line of its
//! own for zero.

use super::policy::Policy;
use super::statistics::Share;
use super::totals::Totals;
use std::fmt::Write;

const WIDTH: f64 = 1240.0;
const HEIGHT: f64 = 560.0;
const PANEL: (f64, f64) = (500.0, 400.0);
const TOP: f64 = 70.0;
const LEFT: [f64; 2] = [80.0, 700.0];
/// Smallest share on the logarithmic part of the axis, and how much of the height zero takes.
const LEAST_SHARE: f64 = 0.001;
const ZERO: f64 = 40.0;
/// Height of a label's line.
const LINE: f64 = 15.0;

/// The policy that stands out.
const OURS: &str = Policy::Ours.as_str();

/// A policy's place in a panel.
struct Point {
    name: &'static str,
    harm: f64,
    share: Share,
}

/// The picture as SVG text; none if the benchmark does not hold both bad and good releases.
pub(super) fn svg(totals: &[Totals], runs: u32) -> Option<String> {
    let good = |of: &Totals| of.false_rollbacks.trials + of.transients_rolled_back.trials;
    if totals.iter().all(|of| good(of) == 0) {
        return None;
    }
    let harms: Vec<f64> = totals.iter().filter_map(Totals::harm).collect();
    let (least, most) =
        (harms.iter().copied().reduce(f64::min)?, harms.iter().copied().reduce(f64::max)?);
    let scale =
        Harm { low: least.max(0.1).log10().floor(), high: (most.max(1.0) * 1.01).log10().ceil() };
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
<text x="80" y="26" font-size="17">What bad releases cost users, against good releases taken back</text>
<text x="80" y="44" fill="#666">{runs} releases of each kind under every policy; bars are 95% intervals; down and left is better</text>
"##
    );
    let titles =
        ["of healthy releases, rolled back", "of releases whose fault passes, rolled back"];
    let shares = [|of: &Totals| of.false_rollbacks, |of: &Totals| of.transients_rolled_back];
    for ((left, title), share) in LEFT.into_iter().zip(titles).zip(shares) {
        let point = |of: &Totals| {
            let (name, share, harm) = (of.policy.as_str(), share(of), of.harm()?);
            (share.trials > 0).then_some(Point { name, harm, share })
        };
        grid(&mut text, left, title, &scale);
        marks(&mut text, left, &scale, &totals.iter().filter_map(point).collect::<Vec<_>>());
    }
    text += "</svg>\n";
    Some(text)
}

/// The axis of harm, in powers of ten.
struct Harm {
    low: f64,
    high: f64,
}

impl Harm {
    fn x(&self, left: f64, harm: f64) -> f64 {
        left + PANEL.0 * (harm.max(0.1).log10() - self.low) / (self.high - self.low).max(1.0)
    }
}

/// From the top of a panel.
fn y(share: f64) -> f64 {
    let logarithmic = PANEL.1 - ZERO;
    if share <= 0.0 {
        return TOP + PANEL.1;
    }
    let decades = -LEAST_SHARE.log10();
    TOP + logarithmic * -share.clamp(LEAST_SHARE, 1.0).log10() / decades
}

/// An empty panel with its axes.
fn grid(text: &mut String, left: f64, title: &str, scale: &Harm) {
    let (right, bottom) = (left + PANEL.0, TOP + PANEL.1);
    let _ = writeln!(text, r##"<g stroke="#ddd">"##);
    let mut exponent = scale.low;
    while exponent <= scale.high {
        let x = scale.x(left, 10f64.powf(exponent));
        let _ = writeln!(text, r#"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}"/>"#);
        let _ = writeln!(
            text,
            r##"<text x="{x:.1}" y="{:.1}" text-anchor="middle" stroke="none" fill="#666">{}</text>"##,
            bottom + 18.0,
            10f64.powf(exponent)
        );
        exponent += 1.0;
    }
    for (share, name) in [(1.0, "100%"), (0.1, "10%"), (0.01, "1%"), (0.001, "0.1%"), (0.0, "0")] {
        let y = y(share);
        let _ = writeln!(text, r#"<line x1="{left}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/>"#);
        let _ = writeln!(
            text,
            r##"<text x="{:.1}" y="{:.1}" text-anchor="end" stroke="none" fill="#666">{name}</text>"##,
            left - 8.0,
            y + 4.0
        );
    }
    let _ = writeln!(
        text,
        "</g>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">harmed requests per bad release (mean)</text>",
        left + PANEL.0 / 2.0,
        bottom + 40.0
    );
    let _ = writeln!(text, r#"<text x="{left}" y="{:.1}">share {title}</text>"#, TOP - 8.0);
}

/// The policies, with their intervals and names.
fn marks(text: &mut String, left: f64, scale: &Harm, points: &[Point]) {
    let mut labels: Vec<Label> = Vec::new();
    for point in points {
        let (x, at) = (scale.x(left, point.harm), y(point.share.rate()));
        let (low, high) = point.share.interval();
        let (colour, radius) = if point.name == OURS { ("#c60", 6) } else { ("#357", 4) };
        let _ = writeln!(
            text,
            r#"<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{:.1}" stroke="{colour}" stroke-opacity="0.35"/>"#,
            y(if point.share.hits == 0 { 0.0 } else { low }),
            y(high)
        );
        let _ = writeln!(
            text,
            r#"<circle cx="{x:.1}" cy="{at:.1}" r="{radius}" fill="{colour}"><title>{}: {:.1} harmed, {}/{}</title></circle>"#,
            point.name, point.harm, point.share.hits, point.share.trials
        );
        labels.push(Label::place(&labels, (x, at), left + PANEL.0, point.name));
    }
    for Label { point: (x, at), line, left_of_it, name } in labels {
        let (to, anchor) = if left_of_it { (x - 9.0, "end") } else { (x + 9.0, "start") };
        let _ = writeln!(
            text,
            r##"<line x1="{x:.1}" y1="{at:.1}" x2="{to:.1}" y2="{line:.1}" stroke="#bbb"/>"##
        );
        let weight = if name == OURS { r#" font-weight="bold""# } else { "" };
        let _ = writeln!(
            text,
            r#"<text x="{to:.1}" y="{:.1}" text-anchor="{anchor}"{weight}>{name}</text>"#,
            line + 4.0
        );
    }
}

/// A policy's name beside its point.
struct Label<'a> {
    point: (f64, f64),
    /// The height of the name.
    line: f64,
    left_of_it: bool,
    name: &'a str,
}

impl<'a> Label<'a> {
    /// As near to the point as it can be without hiding another, within the panel that ends at `right`.
    fn place(others: &[Label], point: (f64, f64), right: f64, name: &'a str) -> Label<'a> {
        let left_of_it = point.0 + width(name) > right + 20.0;
        let label = |line| Label { point, line, left_of_it, name };
        let steps = (0..20).flat_map(|step| [f64::from(-step), f64::from(step)]);
        let lines = steps.map(|step| point.1 + step * LINE / 2.0);
        let mut inside = lines.filter(|line| *line <= TOP + PANEL.1);
        label(
            inside
                .find(|line| !others.iter().any(|other| other.hides(&label(*line))))
                .unwrap_or(point.1),
        )
    }

    fn hides(&self, other: &Label) -> bool {
        let (mine, theirs) = (self.reach(), other.reach());
        mine.0 < theirs.1 && theirs.0 < mine.1 && (self.line - other.line).abs() < LINE
    }

    /// From where to where it takes place, its point included.
    fn reach(&self) -> (f64, f64) {
        let (x, width) = (self.point.0, width(self.name));
        if self.left_of_it { (x - width, x + 6.0) } else { (x - 6.0, x + width) }
    }
}

/// Of a name with the line that leads to it.
fn width(name: &str) -> f64 {
    16.0 + 7.0 * name.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fall_from_the_top_to_zero_on_its_own_line() {
        assert_eq!(y(1.0), TOP);
        assert_eq!(y(LEAST_SHARE), TOP + PANEL.1 - ZERO);
        assert_eq!(y(1e-9), y(LEAST_SHARE));
        assert_eq!(y(0.0), TOP + PANEL.1);
        assert!((y(0.1) - TOP - (PANEL.1 - ZERO) / 3.0).abs() < 1e-9);
    }

    #[test]
    fn labels_of_the_same_place_do_not_hide_each_other_and_stay_in_the_panel() {
        let bottom = TOP + PANEL.1;
        let mut labels = Vec::new();
        for name in ["ours", "kayenta", "flagger", "argo-60s"] {
            labels.push(Label::place(&labels, (100.0, bottom), 400.0, name));
        }
        for (at, label) in labels.iter().enumerate() {
            assert!(label.line <= bottom && !label.left_of_it);
            assert!(!labels[..at].iter().any(|other| other.hides(label)), "{}", label.name);
        }
        let far = Label::place(&labels, (390.0, bottom), 400.0, "far");
        assert!(far.left_of_it && far.line == bottom);
    }
}
