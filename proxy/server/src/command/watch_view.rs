//! How `serinus watch` looks.

use super::operate::named;
use super::watch::{Picture, Watched};
use super::watch_endpoints;
use crate::explain::words::{count, latency, percent};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Gauge, Paragraph, Wrap};
use serinus_rollout::{Phase, ServiceStatus};

/// Lines of one service besides its weight bar and frame.
const SERVICE_LINES: u16 = 7;

pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture, address: &str) {
    let heights: Vec<u16> = picture.services.iter().map(height).collect();
    let troubles = troubles(picture);
    let [head, middle, events] = Layout::vertical([
        Constraint::Length(1 + troubles.len() as u16),
        Constraint::Length(heights.iter().sum()),
        Constraint::Min(4),
    ])
    .areas(frame.area());
    let mut lines = vec![title(picture, address)];
    lines.extend(troubles);
    frame.render_widget(Paragraph::new(Text::from(lines)), head);
    // Where there is no room for all, each gets its share of what there is.
    let areas = Layout::vertical(heights.iter().map(|height| Constraint::Fill(*height)));
    let areas = areas.split(middle);
    for (service, area) in picture.services.iter().zip(areas.iter()) {
        draw_service(frame, service, *area);
    }
    draw_events(frame, picture, events);
}

fn height(service: &Watched) -> u16 {
    let own = if service.status.canary.is_some() { SERVICE_LINES } else { 0 };
    own + 3 + watch_endpoints::height(&service.endpoints)
}

fn title(picture: &Picture, address: &str) -> Line<'static> {
    let about = picture.proxy.as_ref().map_or_else(String::new, |proxy| {
        let model = proxy.model_id.as_deref().unwrap_or("none");
        format!("  {address}  configuration {}  model {model}", proxy.config_hash)
    });
    Line::from(vec![" Serinus".bold(), about.dim(), "  q ends".dim()])
}

fn troubles(picture: &Picture) -> Vec<Line<'static>> {
    let of_proxy = picture.proxy.iter().flat_map(|proxy| proxy.troubles.iter());
    let all = picture.silence.iter().chain(of_proxy);
    all.map(|trouble| Line::from(format!(" ! {}", trouble.replace('\n', " "))).red()).collect()
}

fn draw_service(frame: &mut Frame<'_>, service: &Watched, area: Rect) {
    let (service, endpoints) = (&service.status, &service.endpoints);
    let block = Block::bordered().title(format!(" {} ", service.name).bold());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [bar, rest, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(watch_endpoints::height(endpoints)),
    ])
    .areas(inner);
    let label = brief(service);
    let gauge = Gauge::default()
        .ratio(service.weight.ratio().clamp(0.0, 1.0))
        .label(label)
        .gauge_style(Style::new().fg(colour(service)));
    frame.render_widget(gauge, bar);
    let text = Paragraph::new(Text::from(body(service))).wrap(Wrap { trim: true });
    frame.render_widget(text, rest);
    frame.render_widget(Paragraph::new(watch_endpoints::table(endpoints)), below);
}

fn colour(service: &ServiceStatus) -> Color {
    match service.phase {
        _ if service.withdrawn => Color::Red,
        Phase::RolledBack => Color::Red,
        Phase::Promoted => Color::Green,
        Phase::Progressing | Phase::Paused => Color::Yellow,
        Phase::Idle => Color::DarkGray,
    }
}

fn body(service: &ServiceStatus) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if service.canary.is_none() {
        return lines;
    }
    let verdict = service.verdict.as_str().replace('_', " ");
    let forecast = service.failure_probability.map_or_else(|| "-".to_owned(), percent);
    lines.push(Line::from(vec![
        Span::from("verdict "),
        Span::styled(verdict, Style::new().add_modifier(Modifier::BOLD)),
        Span::from(format!(
            "   worse than stable: {}   will last: {forecast}",
            percent(service.anomaly_score)
        )),
    ]));
    if let Some(evaluation) = &service.evaluation {
        for (name, outcomes, quantiles) in [
            ("stable", &evaluation.recent.stable, &evaluation.latency.stable),
            ("canary", &evaluation.recent.canary, &evaluation.latency.canary),
        ] {
            let (total, failures) = (outcomes.total(), outcomes.failures());
            let failed = percent(failures as f64 / total.max(1) as f64);
            lines.push(Line::from(format!(
                "{name:<7}{:>9} a minute  {failed:>7} failed  p50 {:>9}  p90 {:>9}  p99 {:>9}",
                count(total),
                latency(quantiles.p50),
                latency(quantiles.p90),
                latency(quantiles.p99)
            )));
        }
    }
    lines.extend(service.reasons.iter().map(|reason| Line::from(format!("· {}", reason.text))));
    lines
}

fn draw_events(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let block = Block::bordered().title(" what happened (serinus explain ID) ");
    let fits = usize::from(block.inner(area).height);
    let lines: Vec<Line<'_>> = picture
        .events
        .iter()
        .rev()
        .take(fits)
        .map(|event| Line::from(super::history::line(event)))
        .collect();
    frame.render_widget(Paragraph::new(Text::from(lines)).block(block), area);
}

/// Without a terminal: a line for the service, and one for every endpoint that is not simply well.
pub(super) fn in_lines(service: &Watched) -> Vec<String> {
    let mut lines = vec![brief(&service.status)];
    lines.extend(watch_endpoints::in_lines(&service.endpoints));
    lines
}

/// One line: `progressing, stage 2 of 4, 10% on 1.9.0`.
pub(super) fn brief(service: &ServiceStatus) -> String {
    let Some(canary) = &service.canary else {
        let version = named(&service.stable.version).map(|version| format!(" {version}"));
        return format!("{}{}, no canary", service.name, version.unwrap_or_default());
    };
    let phase = match service.phase {
        _ if service.withdrawn => "users withdrawn".to_owned(),
        phase => phase.as_str().replace('_', " "),
    };
    format!(
        "{} {phase}, stage {} of {}, {} of users on {}, stable {}",
        service.name,
        service.stage + 1,
        service.stages,
        service.weight,
        canary.version,
        service.stable.version
    )
}
