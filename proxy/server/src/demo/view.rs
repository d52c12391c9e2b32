//! The demo on a terminal.

use super::headless::milliseconds;
use super::scene::{Scene, now};
use super::stage::{CANARY, STABLE};
use super::story::fault_in_words;
use super::tally::{Recent, Side};
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Table, Wrap};
use ratatui::{DefaultTerminal, Frame};
use std::time::Duration;

/// The terminal, given back when this is dropped.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// It cannot be taken over.
    pub(super) fn open() -> std::io::Result<Self> {
        Ok(Screen { terminal: ratatui::try_init()? })
    }

    /// Draws the scene; true once the person at the terminal wants to leave.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn show(&mut self, scene: &Scene) -> std::io::Result<bool> {
        self.terminal.draw(|frame| draw(frame, scene))?;
        while event::poll(Duration::ZERO)? {
            if let Input::Key(key) = event::read()? {
                let interrupt =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame, scene: &Scene) {
    let rows = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(3),
        Constraint::Length(5),
        Constraint::Length(3),
        Constraint::Min(5),
        Constraint::Length(1),
    ]);
    let [head, weight, sides, scores, events, foot] = rows.areas(frame.area());
    draw_head(frame, head, scene);
    draw_weight(frame, weight, scene);
    draw_sides(frame, sides, scene);
    draw_scores(frame, scores, scene);
    draw_events(frame, events, scene);
    frame.render_widget(Line::from(" q: end").dim(), foot);
}

fn draw_head(frame: &mut Frame, area: Rect, scene: &Scene) {
    let status = &scene.watcher.status;
    let colour = match (&*status.phase, status.withdrawn) {
        ("rolled_back", _) => Color::Red,
        (_, true) => Color::Yellow,
        _ => Color::Green,
    };
    let withdrawn = if status.withdrawn { ", users withdrawn" } else { "" };
    let seconds = now().saturating_sub(scene.began_at) as f64 / 1000.0;
    let fault = match scene.struck_at {
        Some(at) => {
            let since = now().saturating_sub(at) as f64 / 1000.0;
            format!("since {since:.1} s: {}", fault_in_words(scene.fault))
        }
        None => "all is well so far".to_owned(),
    };
    let first = Line::from(vec![
        format!(" {seconds:5.1} s  ").into(),
        format!("{}{withdrawn}", status.phase.replace('_', " ")).fg(colour).bold(),
        format!("  stage {} of {}", status.stage + 1, status.stages).into(),
    ]);
    let second = Line::from(format!("          {fault}")).italic();
    let block = Block::bordered().title(" serinus demo ".bold());
    frame.render_widget(Paragraph::new(vec![first, second]).block(block), area);
}

fn draw_weight(frame: &mut Frame, area: Rect, scene: &Scene) {
    let weight = scene.watcher.status.weight;
    let gauge = Gauge::default()
        .block(Block::bordered().title(format!(" users on {CANARY} ")))
        .gauge_style(Color::Cyan)
        .ratio((weight / 100.0).clamp(0.0, 1.0))
        .label(format!("{weight}%"));
    frame.render_widget(gauge, area);
}

fn draw_sides(frame: &mut Frame, area: Rect, scene: &Scene) {
    let row = |name: String, recent: Recent| {
        let style = if recent.failures > 0.0 { Style::new().fg(Color::Red) } else { Style::new() };
        Row::new([
            name,
            format!("{:.0}", recent.requests),
            format!("{:.1}", recent.failures),
            milliseconds(recent.p50),
            milliseconds(recent.p99),
        ])
        .style(style)
    };
    let rows = [
        row(format!("stable {STABLE}"), scene.tally.recent(Side::Stable)),
        row(format!("canary {CANARY}"), scene.tally.recent(Side::Canary)),
    ];
    let all = scene.tally.all();
    let title = format!(
        " as users see it: {} requests, {} failed, {} saved by the shield ",
        all.requests, all.failures, scene.watcher.shielded
    );
    let table = Table::new(
        rows,
        [
            Constraint::Fill(2),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Fill(1),
        ],
    )
    .header(Row::new(["", "requests/s", "failed/s", "p50", "p99"]).add_modifier(Modifier::DIM))
    .block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

fn draw_scores(frame: &mut Frame, area: Rect, scene: &Scene) {
    let status = &scene.watcher.status;
    let (anomaly_threshold, rollback_threshold) =
        (status.thresholds.anomaly, status.thresholds.rollback);
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let over = |value: f64, threshold: f64| {
        if value >= threshold { Color::Red } else { Color::Green }
    };
    // The score lives near 1: its nines are shown, as a share of the nines of the threshold.
    let nines = |score: f64| -(1.0 - score.clamp(0.0, 0.999_999)).log10();
    let anomaly = Gauge::default()
        .block(
            Block::bordered().title(format!(" anomaly score, users leave at {anomaly_threshold} ")),
        )
        .gauge_style(over(status.anomaly_score, anomaly_threshold))
        .ratio((nines(status.anomaly_score) / nines(anomaly_threshold).max(0.1)).clamp(0.0, 1.0))
        .label(format!("{:.4}", status.anomaly_score));
    frame.render_widget(anomaly, left);
    let probability = status.failure_probability.unwrap_or(0.0);
    let forecast = Gauge::default()
        .block(
            Block::bordered()
                .title(format!(" forecast that it lasts, rolled back above {rollback_threshold} ")),
        )
        .gauge_style(over(probability, rollback_threshold))
        .ratio(probability.clamp(0.0, 1.0))
        .label(status.failure_probability.map_or("-".to_owned(), |p| format!("{p:.2}")));
    frame.render_widget(forecast, right);
}

fn draw_events(frame: &mut Frame, area: Rect, scene: &Scene) {
    let room = usize::from(area.height.saturating_sub(2));
    let mut lines: Vec<Line> = scene
        .watcher
        .events
        .iter()
        .rev()
        .take(room)
        .map(|event| {
            let seconds = event.at.saturating_sub(scene.began_at) as f64 / 1000.0;
            Line::from(vec![
                format!("{seconds:6.1} s  ").dim(),
                event.kind.replace('_', " ").bold(),
                format!("  {}", event.headline).into(),
            ])
        })
        .collect();
    if let Some(reason) = scene.watcher.status.reasons.first() {
        lines.insert(
            0,
            Line::from(format!("now: {}, {}", scene.watcher.status.verdict, reason.text)).italic(),
        );
    }
    let block = Block::bordered().title(" events, newest first ");
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::client::Client;
    use crate::demo::shop::FaultKind;
    use crate::demo::tally::{Mishap, Tally};
    use crate::demo::watcher::Watcher;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;
    use std::sync::Arc;

    fn scene() -> Scene {
        let mut watcher = Watcher::new(Client::new(([127, 0, 0, 1], 1).into()));
        watcher.status = serde_json::from_value(json!({
            "name": "shop", "phase": "progressing", "stage": 1, "stages": 4, "weight": 10.0,
            "anomaly_score": 0.9995, "failure_probability": 0.42, "withdrawn": true,
            "verdict": "hold", "reasons": [{ "code": "anomaly", "text": "canary failed 6 of 25" }],
            "thresholds": { "anomaly": 0.999, "rollback": 0.8, "resume": 0.2 },
        }))
        .unwrap();
        watcher.shielded = 7;
        let at = now();
        watcher.events = serde_json::from_value(json!([
            { "id": 1, "at": at, "kind": "withdrawn", "headline": "users were taken off" },
        ]))
        .unwrap();
        let tally = Arc::new(Tally::default());
        tally.record(Side::Canary, Duration::from_millis(9), Some(Mishap::Status(500)));
        Scene { fault: FaultKind::Errors, began_at: at, struck_at: Some(at), tally, watcher }
    }

    #[test]
    fn everything_that_matters_is_on_the_screen() {
        let mut terminal = Terminal::new(TestBackend::new(110, 28)).unwrap();
        let scene = scene();
        terminal.draw(|frame| draw(frame, &scene)).unwrap();
        let screen = terminal.backend().to_string();
        for text in [
            "progressing, users withdrawn",
            "stage 2 of 4",
            "10%",
            "0.9995",
            "0.42",
            "users leave at 0.999",
            "rolled back above 0.8",
            "users were taken off",
            "canary failed 6 of 25",
            "1 requests, 1 failed, 7 saved by the shield",
            "one request in five",
        ] {
            assert!(screen.contains(text), "no '{text}' in\n{screen}");
        }
    }

    #[test]
    fn a_tiny_terminal_is_no_reason_to_fall_over() {
        let scene = scene();
        for (width, height) in [(1, 1), (20, 5), (200, 3)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &scene)).unwrap();
        }
    }
}
